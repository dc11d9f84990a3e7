// What elements have in common that set something up: a form of the server's that is tested through the control API and
// then put into the draft. Nothing that somebody fills in is ever replaced.

import { csrfToken, Refused, stream, type Told } from "./api";
import { icon } from "./icons";

export type Table = Record<string, unknown>;

export interface Rung {
  rung: string;
  title: string;
  state: "running" | "passed" | "failed" | "skipped";
  sentence: string;
  mend: string | null;
  details: { tags?: Reading[] };
}

/** What a test read brought of one tag. */
export interface Reading {
  readonly tag: string;
  readonly value: unknown;
  readonly unit: string | null;
  readonly quality: number;
  readonly quality_name: string;
  /** Why it can't be read. */
  readonly message: string | null;
}

const MARKS = { running: "off", passed: "good", failed: "bad", skipped: "off" } as const;

export abstract class Setup extends HTMLElement {
  private abort: AbortController | undefined;

  disconnectedCallback(): void {
    this.stop();
  }

  protected stop(): void {
    this.abort?.abort();
  }

  protected get form(): HTMLFormElement {
    return this.querySelector("form")!;
  }

  protected spot(name: string): HTMLElement {
    return this.querySelector<HTMLElement>(`[data-part="${name}"]`)!;
  }

  protected field(id: string): HTMLInputElement | null {
    return id === "" ? null : this.querySelector<HTMLInputElement>(`#${CSS.escape(id)}`);
  }

  /** What goes wrong is said below the form, never in the console alone. `quietly`: what is said already stays. */
  protected async guarded(work: () => Promise<void>, quietly = false): Promise<void> {
    if (!quietly) this.say();
    try {
      await work();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      if (!(error instanceof Refused)) {
        this.say("The page doesn't answer.", "Is the gateway reachable?");
        return;
      }
      const { detail, mend, problems } = error.problem;
      const left = (problems ?? []).filter((problem) => !this.tell(problem.field ?? "", problem.message));
      this.say(left.map((problem) => problem.message).join("; ") || detail, mend ?? left[0]?.mend ?? "");
    }
  }

  protected say(sentence = "", mend = ""): void {
    const place = this.spot("said");
    place.replaceChildren();
    if (sentence === "") return;
    const note = document.createElement("div");
    note.className = "note bad";
    const text = document.createElement("div");
    const said = document.createElement("strong");
    said.textContent = sentence.charAt(0).toUpperCase() + sentence.slice(1);
    const more = document.createElement("p");
    more.className = "mend";
    more.textContent = mend;
    text.append(said, more);
    note.append(icon("bad"), text);
    place.append(note);
    place.scrollIntoView({ block: "nearest" }); // the button that was pressed may be far away
  }

  /** Say at its field what is wrong. False if there is no such field. */
  protected tell(name: string, sentence: string): boolean {
    const field = this.field(name);
    const wrong = field?.closest(".field")?.querySelector<HTMLElement>(".wrong");
    if (field === null || field === undefined || wrong === null || wrong === undefined) return false;
    field.closest("details")?.setAttribute("open", "");
    field.setAttribute("aria-invalid", "true");
    wrong.textContent = sentence;
    wrong.hidden = false;
    return true;
  }

  protected mend(field: HTMLElement): void {
    field.removeAttribute("aria-invalid");
    const wrong = field.closest(".field")?.querySelector<HTMLElement>(".wrong");
    if (wrong) wrong.hidden = true;
  }

  /** What the server makes of the form, or undefined where something is wrong with it, which is then said. */
  protected async made<T extends { wrong: Record<string, string> }>(path: string): Promise<T | undefined> {
    const response = await fetch(path, {
      method: "POST",
      headers: { "x-csrf-token": csrfToken(), accept: "application/json" },
      body: new URLSearchParams(new FormData(this.form) as unknown as Record<string, string>),
    });
    if (!response.ok) throw new Error(`${path} answered ${response.status}`);
    const made = (await response.json()) as T;
    const names = Object.entries(made.wrong);
    for (const [name, sentence] of names) this.tell(name, sentence);
    if (names.length > 0) {
      this.field(names[0]![0])?.focus();
      return undefined;
    }
    return made;
  }

  /** A stream that a button stops. One at a time: the one before it ends. */
  protected async *streamed(path: string, body: unknown): AsyncGenerator<Told> {
    this.stop();
    const abort = (this.abort = new AbortController());
    const button = this.querySelector<HTMLElement>('[data-do="stop"]')!;
    button.hidden = false;
    try {
      yield* stream(path, body, abort.signal);
    } finally {
      if (this.abort === abort) button.hidden = true;
    }
  }

  /** Show a rung as it begins and as it ends. */
  protected show(ladder: HTMLElement, rung: Rung): void {
    let item = ladder.querySelector<HTMLElement>(`[data-rung="${CSS.escape(rung.rung)}"]`);
    if (item === null) {
      item = document.createElement("li");
      item.dataset["rung"] = rung.rung;
      ladder.append(item);
    }
    item.dataset["state"] = rung.state;
    item.className = `state ${MARKS[rung.state]}`;
    const text = document.createElement("span");
    const title = document.createElement("strong");
    title.textContent = rung.title;
    text.append(title, ` ${rung.state === "running" ? "…" : rung.sentence}`);
    item.replaceChildren(icon(rung.state === "running" ? "play" : MARKS[rung.state]), text);
    if (rung.mend) {
      const mend = document.createElement("span");
      mend.className = "mend";
      mend.textContent = rung.mend;
      item.append(mend);
    }
  }
}
