// <tag-sheet>: the tags and groups of a device or template, edited in the page. What is typed is tried by the server
// once it pauses, and what is wrong is said at its cell. Nothing is kept but by the button that puts it into the draft.

import { call, Refused } from "../api";
import { icon } from "../icons";
import { Setup, type Table } from "../setup";
import { Grid } from "../sheet/grid";
import { Groups, Wrong, type Edit } from "../sheet/groups";
import { type Cell, type Column, type Row, Sheet, text } from "../sheet/model";

interface Property {
  type?: string;
  enum?: (string | number)[];
  anyOf?: Property[];
  description?: string;
  properties?: Record<string, Property>;
}

interface Trial {
  added: number;
  changed: number;
  removed: number;
  unchanged: number;
  problems: { row: number | null; column: string | null; message: string; mend: string }[];
  changes: { action: string; name: string }[];
  edits: Edit[];
}

const PAUSE_MS = 600;
const MOST_SHOWN = 50;
const USUAL = ["group", "name", "type", "scale", "offset", "unit", "low", "high", "writable", "deadband", "description"];

class TagSheet extends Setup {
  private sheet!: Sheet;
  private grid!: Grid;
  private groups!: Groups;
  private address = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asked = 0;
  private trial: { trial: Trial; first: Edit[] } | undefined;
  private dirty = false;
  private readonly leaving = (event: BeforeUnloadEvent): void => {
    if (this.dirty) event.preventDefault();
  };

  connectedCallback(): void {
    addEventListener("beforeunload", this.leaving);
    this.addEventListener("click", (event) => this.clicked(event));
    this.addEventListener("change", (event) => this.chosenColumn(event.target as HTMLInputElement));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.keep());
    });
    this.querySelector<HTMLInputElement>("#filter")!.addEventListener("input", (event) => {
      this.grid.filter((event.target as HTMLInputElement).value);
    });
    void this.guarded(() => this.load());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("beforeunload", this.leaving);
    clearTimeout(this.timer);
  }

  private get owner(): [string, string] {
    return [this.dataset["section"]!, this.dataset["owner"]!];
  }

  private async load(): Promise<void> {
    const [section, name] = this.owner;
    const at = encodeURIComponent(name);
    const [driver, given, owner] = await Promise.all([
      call<{ address_key: string; tag: Property }>("GET", `/v1/drivers/${encodeURIComponent(this.dataset["driver"]!)}`),
      call<{ header: string[]; rows: Cell[][] }>("GET", `/v1/sheet?${section}=${at}&every_column=true`),
      call<{ table: Table & { group?: Table[] } }>("GET", `/v1/tables/${section}/${at}`),
    ]);
    this.address = driver.address_key;
    const properties = { ...driver.tag.properties, ...driver.tag.properties?.["report"]?.properties };
    const names = given.header.filter((each) => each !== section);
    const keep = names.map((each) => given.header.indexOf(each));
    this.sheet = new Sheet(names.map((each) => column(each, properties[each])));
    this.sheet.load(given.rows.map((row) => keep.map((position) => row[position] ?? null)));
    this.groups = new Groups(this.spot("groups"), this.querySelector("template")!, this.owner, () => this.edited());
    this.groups.load(owner.table.group ?? []);
    this.grid = new Grid(this.querySelector("table[data-grid]")!, this.sheet, { edited: () => this.edited(), moved: () => this.moved() });
    this.choices();
    this.columnMenu();
    this.grid.columnsAre(this.usual());
    this.spot("loading").remove();
    this.spot("all").hidden = false;
    this.tally();
    this.moved();
  }

  /** What most tags have, the address, and whatever one of them has. */
  private usual(): number[] {
    const used = (at: number): boolean => this.sheet.rows.some((row) => row.cells[at] !== null);
    const order = [...USUAL.slice(0, 2), this.address, ...USUAL.slice(2)];
    const first = order.map((name) => this.sheet.at(name)).filter((at) => at >= 0);
    return [...first, ...this.sheet.columns.keys()].filter((at, position, all) => all.indexOf(at) === position && (first.includes(at) || used(at)));
  }

  private choices(): void {
    const place = this.spot("choices");
    place.replaceChildren();
    for (const each of this.sheet.columns) {
      const values = each.name === "group" ? this.groups.names : each.choices;
      if (each.choices.length === 0 && each.name !== "group") continue;
      const list = document.createElement("datalist");
      list.id = `choices-${each.name}`;
      list.append(...values.map((value) => new Option(value, value)));
      place.append(list);
    }
  }

  private columnMenu(): void {
    const usual = new Set(this.usual());
    const select = this.querySelector<HTMLSelectElement>("#bulk-column")!;
    const labels = this.sheet.columns.map((each, at) => {
      const label = document.createElement("label");
      const tick = document.createElement("input");
      tick.type = "checkbox";
      tick.checked = usual.has(at);
      tick.dataset["at"] = String(at);
      label.append(tick, ` ${each.name}`);
      label.title = each.about;
      select.append(new Option(each.name, String(at)));
      return label;
    });
    select.value = String(this.sheet.at("unit"));
    this.spot("columns").replaceChildren(...labels);
  }

  private chosenColumn(target: HTMLInputElement): void {
    if (target.id === "bulk-column") this.offer(target.value);
    const at = Number(target.dataset["at"] ?? "-1");
    if (at < 0) return;
    this.grid.columnsAre(target.checked ? [...this.grid.visible, at] : this.grid.visible.filter((each) => each !== at));
    this.mark();
  }

  private offer(at: string): void {
    const { choices, name } = this.sheet.columns[Number(at)]!;
    const input = this.querySelector<HTMLInputElement>("#bulk-value")!;
    if (choices.length > 0) input.setAttribute("list", `choices-${name}`);
    else input.removeAttribute("list");
  }

  private clicked(event: Event): void {
    const button = (event.target as Element).closest<HTMLElement>("[data-do]");
    const action = button?.dataset["do"];
    if (button === null || action === undefined) return;
    this.grid.finish();
    if (action === "row") this.addRow();
    if (action === "remove") this.change(() => this.sheet.remove(this.grid.chosen));
    if (action === "undo") this.grid.undo();
    if (action === "bulk") this.bulk();
    if (action === "group") this.groups.add().focus();
    if (action === "drop") this.drop(button.closest("tr")!);
    if (action === "problem") this.grid.goTo(this.problemRows[Number(button.dataset["row"])]!, Number(button.dataset["column"]));
  }

  private problemRows: Row[] = [];

  private addRow(): void {
    if (this.groups.names.length === 0) this.groups.add("main");
    let made: Row | undefined;
    const after = [...this.grid.chosen].at(-1) ?? this.sheet.rows.at(-1);
    this.change(() => {
      made = this.sheet.insert(after);
      made.cells[this.sheet.at("group")] ??= this.groups.names[0]!;
    });
    this.grid.goTo(made!, this.sheet.at("name"));
  }

  private bulk(): void {
    const at = Number(this.querySelector<HTMLSelectElement>("#bulk-column")!.value);
    const { value } = this.querySelector<HTMLInputElement>("#bulk-value")!;
    const rows = this.grid.chosen;
    this.change(() => {
      for (const row of rows) this.sheet.set(row, at, value.trim());
    });
    this.spot("course").textContent = `${this.sheet.columns[at]!.name} set in ${rows.size} rows.`;
  }

  private drop(row: Element): void {
    const name = this.groups.drop(row);
    const at = this.sheet.at("group");
    const rows = new Set(this.sheet.rows.filter((each) => text(each.cells[at]) === name));
    this.change(() => this.sheet.remove(rows));
  }

  private change(work: () => void): void {
    this.sheet.change(work);
    this.grid.refresh();
    this.edited();
  }

  private moved(): void {
    const rows = this.grid.chosen.size;
    this.spot("chosen").textContent = rows === 1 ? "1 row" : `${rows} rows`;
    const here = this.grid.column;
    this.spot("about").textContent = here === undefined ? "" : `${here.name}: ${here.about}`;
  }

  private edited(): void {
    this.dirty = true;
    this.trial = undefined;
    this.tally();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.guarded(() => this.check(), true), PAUSE_MS);
  }

  private tally(): void {
    const at = this.sheet.at("group");
    const tags = new Map<string, number>();
    for (const row of this.sheet.rows) tags.set(text(row.cells[at]), (tags.get(text(row.cells[at])) ?? 0) + 1);
    this.groups.count(tags);
    this.choices();
  }

  /** Try it, writing nothing: what is wrong stands at its cell then. */
  private async check(): Promise<boolean> {
    const mine = (this.asked += 1);
    let first: Edit[];
    try {
      ({ first } = this.groups);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      this.spot("course").textContent = error.message;
      return false;
    }
    const rows = this.sheet.rows.filter((row) => row.cells.some((cell, at) => cell !== null && at !== this.sheet.at("group")));
    const [section, owner] = this.owner;
    const body = {
      rows: [[0, ...this.sheet.columns.map((each) => each.name)], ...rows.map((row) => [this.sheet.rows.indexOf(row) + 1, ...row.cells])],
      ...{ section, owner, first, remove: true, whole: true },
    };
    const trial = await call<Trial>("POST", "/v1/sheet/try", body);
    if (mine !== this.asked) return false; // something was changed meanwhile, and is tried next
    this.trial = { trial, first };
    this.problemRows = [...this.sheet.rows];
    this.mark();
    return trial.problems.length === 0 && this.strangers().length === 0;
  }

  /** Tags that somebody else has put there meanwhile. */
  private strangers(): string[] {
    const known = this.sheet.gone;
    return (this.trial?.trial.changes ?? []).filter(({ action, name }) => action === "remove" && !known.has(name)).map(({ name }) => name);
  }

  private mark(): void {
    if (this.trial === undefined) return;
    const { trial } = this.trial;
    const wrong = new Map<Row, Map<number, string>>();
    for (const { row, column: name, message, mend } of trial.problems) {
      const at = this.problemRows[(row ?? 0) - 1];
      if (at === undefined) continue;
      const cells = wrong.get(at) ?? new Map<number, string>();
      cells.set(Math.max(this.sheet.at(name ?? "name"), 0), `${message}: ${mend}`);
      wrong.set(at, cells);
    }
    this.grid.tell(wrong);
    this.list(trial);
    const strangers = this.strangers();
    const counts = `${trial.added} new, ${trial.changed} changed, ${trial.removed} taken out, ${trial.unchanged} unchanged.`;
    this.spot("course").textContent =
      strangers.length > 0
        ? `Somebody else has added ${strangers.slice(0, 3).join(", ")} meanwhile: load the page anew, so that nothing is lost.`
        : trial.problems.length > 0
          ? `${trial.problems.length} things to mend.`
          : counts;
  }

  private list(trial: Trial): void {
    const items = trial.problems.slice(0, MOST_SHOWN).map(({ row, column: name, message, mend }) => {
      const item = document.createElement("li");
      const place = this.problemRows[(row ?? 0) - 1];
      const sentence = `${name && !message.startsWith(name) ? `${name} ` : ""}${message}: ${mend}`;
      if (place === undefined) {
        item.append(icon("bad"), ` ${sentence}`);
        return item;
      }
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet link";
      button.dataset["do"] = "problem";
      button.dataset["row"] = String((row ?? 0) - 1);
      button.dataset["column"] = String(Math.max(this.sheet.at(name ?? "name"), 0));
      button.textContent = `Row ${row}`;
      item.append(icon("bad"), button, ` ${sentence}`);
      return item;
    });
    this.spot("problems").replaceChildren(...items);
  }

  private async keep(): Promise<void> {
    this.grid.finish();
    clearTimeout(this.timer);
    if (!(await this.check())) {
      const what = this.spot("course").textContent ?? "";
      this.say(what || "It can't be kept as it is.", "Nothing was put into the draft.");
      return;
    }
    const { trial, first } = this.trial!;
    const edits = [...first, ...trial.edits, ...this.groups.last];
    if (edits.length === 0) {
      this.spot("course").textContent = "Nothing was changed.";
      return;
    }
    await call("PATCH", "/v1/config/draft", { edits });
    this.dirty = false;
    location.assign("/changes");
  }

  protected override async guarded(work: () => Promise<void | boolean>, quietly = false): Promise<void> {
    await super.guarded(async () => {
      try {
        await work();
      } catch (error) {
        // What was tried can't be so: said where the outcome stands, while somebody types on.
        if (!(quietly && error instanceof Refused)) throw error;
        this.spot("course").textContent = error.message;
      }
    }, quietly);
  }
}

function column(name: string, about: Property | undefined): Column {
  const options = about?.anyOf ?? (about === undefined ? [] : [about]);
  const types = new Set(options.map((each) => each.type));
  const choices = options.flatMap((each) => each.enum ?? []).map(String);
  const kind = types.has("boolean") ? "check" : choices.length > 0 ? "choice" : types.has("number") || types.has("integer") ? "number" : "text";
  const text = (about?.description ?? (name === "group" ? "The group it is read in." : "")).replaceAll("`", "");
  return { name, kind, choices: kind === "check" ? ["true", "false"] : choices, about: text };
}

customElements.define("tag-sheet", TagSheet);
