// <device-setup>: adding a device. The form is the server's; this element tests the connection, finds and names tags,
// shows what they will be, and puts all of it into the draft. Nothing that somebody fills in is ever replaced.

import { call, Refused, stream } from "../api";
import { answered } from "../early";
import { fit } from "../fit";
import type { Rung, Table } from "../setup";
import { type Item, TagRows } from "../tag-rows";
import type { Found } from "./device-search";

interface Tables {
  link: Table | null;
  device: Table;
  wrong: Record<string, string>;
}

interface Way {
  address: string;
  type: string;
  order: string;
  raw: string;
  value: unknown;
  plausible: boolean;
  options: Table;
}

interface Template {
  name: string;
  title: string;
  tags: number;
  link: Table;
  device: Table;
  template: Table & { group: { tag: Table[] }[] };
}

const MOST_ROWS = 2000;
const AGAIN_MS = 2_000;

class DeviceSetup extends TagRows {
  private template: Template | undefined;
  private filled: string[] = [];
  private watching: AbortController | undefined;
  private readonly found = (event: Event): void => this.take((event as CustomEvent<Found>).detail);

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("tg:found", this.found);
    this.watching?.abort();
  }

  connectedCallback(): void {
    document.addEventListener("tg:found", this.found);
    this.addEventListener("click", (event) => this.clicked(event));
    this.addEventListener("change", (event) => this.changed(event.target as HTMLInputElement));
    this.addEventListener("input", (event) => this.typed(event.target as HTMLInputElement));
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || (event.target as HTMLElement).id !== "place") return;
      event.preventDefault(); // the form isn't ready yet
      void this.guarded(() => this.decode());
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.keep());
    });
    fit(this);
    answered(this);
    void this.guarded(() => this.choose());
  }

  private clicked(event: Event): void {
    const action = (event.target as Element).closest<HTMLElement>("[data-do]")?.dataset["do"];
    if (action === "test") void this.guarded(() => this.test());
    if (action === "stop") this.stop();
    if (action === "watch") void this.guarded(() => this.watch());
    if (action === "browse") void this.guarded(() => this.browse());
    if (action === "decode") void this.guarded(() => this.decode());
    if (action === "look") this.lookAt((event.target as Element).closest("tr")!);
    if (action === "row") this.cell(this.add({ path: "", address: "", type: "uint16" }, true), "name").focus();
  }

  private changed(target: HTMLInputElement): void {
    fit(this);
    if (target.id === "template") void this.guarded(() => this.choose());
    if (target.id === "every") this.spot("ways").toggleAttribute("data-every", target.checked);
    if (target.id === "use_link") this.showLink();
    if (target.dataset["do"] === "all") {
      for (const row of this.rows()) this.tick(row).checked = target.checked;
      this.rename();
    }
    if (target.dataset["column"] === "picked") this.rename();
  }

  private typed(target: HTMLInputElement): void {
    if (target.id === "pattern") this.rename();
    if (target.id === "device.name" || target.dataset["column"] === "name") this.topics();
    this.mend(target);
  }

  /** The tables that the form configures, or undefined where something is wrong with it, which is then said. */
  private tables(): Promise<Tables | undefined> {
    return this.made<Tables>(`${this.dataset["base"]}/tables`);
  }

  /** The link's table, also of one that is configured already. */
  private async link(tables: Tables): Promise<Table> {
    if (tables.link !== null) return tables.link;
    const name = encodeURIComponent(String(tables.device["link"]));
    return (await call<{ table: Table }>("GET", `/v1/tables/link/${name}`)).table;
  }

  private showLink(): void {
    this.spot("link").hidden = (this.field("use_link")?.value ?? "") !== "";
  }

  // --- what a search found ---

  /** Fill in what was found, in place of what was found before, and take its tags. */
  private take({ link, device }: Found): void {
    for (const id of this.filled) this.fill(id, "");
    for (const row of this.rows()) if ("searched" in row.dataset) row.remove();
    this.filled = [];
    const { group, link: name, ...keys } = device ?? {};
    const known = [...(this.field("use_link")?.querySelectorAll("option") ?? [])].some((each) => each.value === link?.["name"]);
    if (known) this.fill("use_link", String(link!["name"]));
    for (const [part, values] of [["link", known ? {} : (link ?? {})], ["device", keys]] as const) {
      for (const [key, value] of Object.entries(values)) {
        this.fill(`${part}.${key}`, written(value));
        this.filled.push(`${part}.${key}`);
      }
    }
    this.showLink();
    fit(this);
    if (this.template === undefined) for (const each of group ?? []) this.takeGroup(each);
    const first = this.field("device.name");
    first?.focus();
    first?.scrollIntoView({ block: "center" });
  }

  private takeGroup(group: { tag?: Table[]; interval_ms?: number }): void {
    if (group.interval_ms !== undefined) this.fill("interval", String(group.interval_ms));
    for (const { name, type, unit, [this.dataset["address"]!]: address, ...options } of group.tag ?? []) {
      const [path, kind, at] = [name, type, address ?? ""].map(String);
      const row = this.add({ path: path!, type: kind!, address: at!, unit: unit ? String(unit) : null, options }, true);
      row.dataset["searched"] = "";
    }
  }

  // --- template ---

  private async choose(): Promise<void> {
    const name = this.field("template")?.value ?? "";
    this.template = undefined;
    if (name !== "") {
      const path = `/v1/templates/${this.dataset["driver"]}/${encodeURIComponent(name)}`;
      this.template = await call<Template>("GET", path);
      for (const [part, keys] of [["link", this.template.link], ["device", this.template.device]] as const) {
        for (const [key, value] of Object.entries(keys)) this.fill(`${part}.${key}`, String(value));
      }
    }
    fit(this);
    this.spot("own").hidden = this.template !== undefined;
    const brought = this.spot("brought");
    brought.hidden = this.template === undefined;
    this.spot("theirs").hidden = this.template === undefined;
    this.spot("template-rows").replaceChildren(...(this.template?.template.group ?? []).flatMap((group) => group.tag.map((tag) => this.brings(tag))));
    this.topics();
    brought.textContent = this.template ? `${this.template.title}: ${this.template.tags} tags come with the template.` : "";
  }

  private fill(id: string, value: string): void {
    const field = this.field(id);
    if (field === null) return;
    if (field.type === "checkbox") field.checked = value === "true";
    else field.value = value;
    this.mend(field);
  }

  // --- test ---

  private async test(): Promise<void> {
    const tables = await this.tables();
    if (tables === undefined) return;
    const body = this.candidate(tables, await this.link(tables));
    const ladder = this.spot("ladder");
    ladder.replaceChildren();
    for await (const { event, data } of this.streamed("/v1/tests/device", body)) {
      if (event === "rung") this.show(ladder, data as Rung);
    }
  }

  /** What would be configured, for a test: as the tags are now. */
  private candidate(tables: Tables, link: Table): { link: Table; table: Table; tags: Table[] } {
    const table = this.asked(tables);
    const tags = this.template?.template.group.flatMap((group) => group.tag) ?? [];
    if (this.template === undefined && this.picked().length > 0) table["group"] = [this.group()];
    return { link, table, tags: tags.slice(0, MOST_ROWS) };
  }

  // --- live values ---

  /** Values beside the topics as they will be, read anew until somebody stops it or it fails. */
  private async watch(): Promise<void> {
    if (this.watching !== undefined) {
      this.watching.abort();
      return;
    }
    const tables = await this.tables();
    if (tables === undefined) return;
    const link = await this.link(tables);
    const stopped = (this.watching = new AbortController());
    const button = this.querySelector<HTMLElement>('[data-do="watch"]')!;
    const course = this.spot("watched");
    button.setAttribute("aria-pressed", "true");
    course.textContent = "Reading …";
    try {
      while (!stopped.signal.aborted) {
        if (!(await this.readOnce(this.candidate(tables, link), course, stopped.signal))) return;
        await pause(AGAIN_MS, stopped.signal);
      }
    } catch (error) {
      course.textContent = "";
      throw error;
    } finally {
      this.watching = undefined;
      button.setAttribute("aria-pressed", "false");
    }
  }

  /** Whether values could be read. */
  private async readOnce(body: unknown, course: HTMLElement, signal: AbortSignal): Promise<boolean> {
    for await (const { event, data } of stream("/v1/tests/device", body, signal)) {
      if (event !== "rung") continue;
      const rung = data as Rung;
      this.readings(rung);
      if (rung.state === "failed") {
        course.textContent = `${rung.title}: ${rung.sentence}${rung.mend ? `: ${rung.mend}` : ""}`;
        return false;
      }
      if (rung.rung === "read" && rung.state !== "running") {
        course.textContent = rung.state === "skipped" ? "Pick tags to see their values." : `At ${new Date().toLocaleTimeString()}: ${rung.sentence}`;
      }
    }
    return true;
  }

  /** The device's table as it will be, without its tags. */
  private asked(tables: Tables): Table {
    return { ...this.template?.device, ...tables.device };
  }

  protected override show(ladder: HTMLElement, rung: Rung): void {
    super.show(ladder, rung);
    this.readings(rung);
  }

  private readings(rung: Rung): void {
    for (const read of rung.details.tags ?? []) this.value(read);
  }

  // --- tags ---

  private async browse(): Promise<void> {
    const tables = await this.tables();
    if (tables === undefined) return;
    const progress = this.spot("progress");
    progress.textContent = "Asking the device …";
    let found = 0;
    const body = { link: await this.link(tables), table: tables.device };
    for await (const { event, data } of this.streamed("/v1/browse", body)) {
      if (event === "failed") {
        const { sentence, mend } = data as { sentence: string; mend: string | null };
        progress.textContent = `${sentence}${mend ? `: ${mend}` : ""}`;
        return;
      }
      if (event !== "item") continue;
      const item = data as Item;
      if (item.type === null || item.kind !== "value" || found >= MOST_ROWS) continue;
      found += 1;
      progress.textContent = `${found} found: ${item.path}`;
      this.add(item, false);
    }
    progress.textContent = found >= MOST_ROWS ? `${found} shown, there is more` : `${found} found`;
    this.rename();
  }

  /** A range that was found is registers, not yet values: what they are is seen by looking at where it begins. */
  private lookAt(row: HTMLElement): void {
    const place = this.field("place")!;
    place.value = this.cell(row, "address").value;
    place.closest("details")!.open = true;
    place.scrollIntoView({ block: "center" });
    place.focus();
    void this.guarded(() => this.decode());
  }

  /** Every type and order at an address: click the one that makes sense. */
  private async decode(): Promise<void> {
    const tables = await this.tables();
    const address = this.field("place")!.value.trim();
    if (tables === undefined || address === "") return;
    const body = { link: await this.link(tables), table: tables.device, address };
    let ways: Way[];
    try {
      ways = await call<Way[]>("POST", "/v1/decode", body);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { detail, mend, problems } = error.problem;
      const [problem] = problems ?? [];
      this.tell("place", `${problem?.message ?? detail}: ${problem?.mend ?? mend ?? "try another"}`);
      return;
    }
    const place = this.spot("ways");
    place.replaceChildren(...ways.map((way) => this.way(way)));
    place.closest<HTMLElement>("[hidden]")?.removeAttribute("hidden");
  }

  private way(way: Way): HTMLTableRowElement {
    const row = document.createElement("tr");
    row.dataset["plausible"] = String(way.plausible);
    const texts = [way.address, way.type, way.order, way.value === null ? "–" : String(way.value), way.raw];
    for (const [at, text] of texts.entries()) {
      const cell = document.createElement("td");
      cell.textContent = text;
      if (at === 3) cell.className = "number";
      if (at === 4) cell.className = "mono";
      row.append(cell);
    }
    const take = document.createElement("button");
    take.type = "button";
    take.className = "quiet link";
    take.textContent = "Take";
    take.setAttribute("aria-label", `Take ${way.address} as ${way.type} ${way.order}`);
    take.addEventListener("click", () => {
      const { address = way.address, ...options } = way.options as { address?: string };
      const added = this.add({ path: "", address, type: way.type, value: way.value, options }, true);
      this.cell(added, "name").focus();
    });
    const cell = document.createElement("td");
    cell.append(take);
    row.append(cell);
    return row;
  }

  /** What is picked, as the group that it will be. */
  private group(): Table {
    const every = Number(this.field("interval")!.value);
    const mode = this.field("mode")?.value ?? "";
    const interval_ms = Number.isFinite(every) ? every : 1000;
    return { name: "main", interval_ms, ...(mode === "" ? {} : { mode }), tag: this.picked().slice(0, MOST_ROWS) };
  }

  // --- into the draft ---

  private async keep(): Promise<void> {
    const tables = await this.tables();
    if (tables === undefined) return;
    const device: Table = this.asked(tables);
    const edits: unknown[] = tables.link === null ? [] : [{ op: "add", path: ["link"], value: tables.link }];
    if (this.template !== undefined) {
      if (!(await this.has("template", this.template.name))) {
        edits.push({ op: "add", path: ["template"], value: this.template.template });
      }
      device["template"] = this.template.name;
    } else {
      if (this.picked().length === 0) {
        this.say("No tag is picked.", "Look what the device has, or add a tag by its address.");
        return;
      }
      device["group"] = [this.group()];
    }
    edits.push({ op: "add", path: ["device"], value: device });
    await call("PATCH", "/v1/config/draft", { edits });
    location.assign("/changes");
  }

  private async has(section: string, name: string): Promise<boolean> {
    try {
      await call("GET", `/v1/tables/${section}/${encodeURIComponent(name)}`);
      return true;
    } catch (error) {
      if (error instanceof Refused && error.problem.status === 404) return false;
      throw error;
    }
  }
}

/** A value as somebody would fill it in. */
function written(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  const [only, ...more] = Object.entries(value);
  return only !== undefined && more.length === 0 ? only.join(":") : JSON.stringify(value);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

customElements.define("device-setup", DeviceSetup);
