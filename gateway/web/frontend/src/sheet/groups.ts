// The groups of a device beside its sheet: how often their tags are read, and in which way; made and taken out.

import type { Table } from "../setup";

export interface Edit {
  op: "set" | "add" | "remove";
  path: string[];
  value?: unknown;
}

const KEYS = ["interval_ms", "mode", "stale_ms"] as const;

/** What is wrong with a field, which has the focus then. */
export class Wrong extends Error {}

export class Groups {
  private readonly loaded = new Map<string, Table>();
  private readonly removed: string[] = [];

  constructor(
    private readonly body: HTMLElement,
    /** A row without its content, as the server wrote it. */
    private readonly pattern: HTMLTemplateElement,
    private readonly owner: readonly [string, string],
    private readonly changed: () => void,
  ) {
    body.addEventListener("input", () => changed());
    body.addEventListener("change", () => changed());
  }

  load(groups: readonly Table[]): void {
    for (const group of groups) {
      this.loaded.set(String(group["name"]), group);
      this.show(group, false);
    }
  }

  get names(): string[] {
    return [...this.body.children].map((row) => this.read(row, "name")).filter((name) => name !== "");
  }

  add(name = ""): HTMLInputElement {
    const row = this.show({ name, interval_ms: 1000 }, true);
    this.changed();
    return this.field(row, "name")!;
  }

  /** How many tags each has. */
  count(tags: ReadonlyMap<string, number>): void {
    for (const row of this.body.children) {
      const count = tags.get(this.read(row, "name")) ?? 0;
      row.querySelector('[data-shown="tags"]')!.textContent = String(count);
      const button = row.querySelector<HTMLElement>('[data-do="drop"]')!;
      button.setAttribute("aria-label", `Take out ${this.read(row, "name") || "this group"}${count ? ` and its ${count} tags` : ""}`);
    }
  }

  /** Take out the group of a row; its name. */
  drop(row: Element): string {
    const name = this.read(row, "name");
    if (this.loaded.has(name)) this.removed.push(name);
    row.remove();
    return name;
  }

  /** Edits before those of the sheet: groups made and changed. Throws Wrong. */
  get first(): Edit[] {
    const edits: Edit[] = [];
    const seen = new Set<string>();
    for (const row of this.body.children) {
      const values = this.values(row);
      const name = String(values["name"]);
      if (name === "" || seen.has(name)) throw this.wrong(row, "name", name === "" ? "A group needs a name." : `There are two groups ${name}.`);
      seen.add(name);
      const before = this.loaded.get(name);
      if (before === undefined || this.removed.includes(name)) edits.push({ op: "add", path: [...this.owner, "group"], value: values });
      else edits.push(...this.difference(name, before, values));
    }
    return edits;
  }

  /** Edits after them: groups whose tags are gone. */
  get last(): Edit[] {
    const again = new Set(this.names);
    return this.removed.filter((name) => !again.has(name)).map((name) => ({ op: "remove", path: [...this.owner, "group", name] }));
  }

  private difference(name: string, before: Table, values: Table): Edit[] {
    return KEYS.filter((key) => before[key] !== values[key]).map((key) => {
      const path = [...this.owner, "group", name, key];
      return values[key] === undefined ? { op: "remove", path } : { op: "set", path, value: values[key] };
    });
  }

  private values(row: Element): Table {
    const values: Table = { name: this.read(row, "name") };
    for (const key of KEYS) {
      const given = this.read(row, key);
      if (this.field(row, key) === null) {
        const kept = this.loaded.get(String(values["name"]))?.[key];
        if (kept !== undefined) values[key] = kept;
        continue;
      }
      if (given === "") continue;
      if (key !== "mode" && !Number.isFinite(Number(given))) throw this.wrong(row, key, `${given} is no number of milliseconds.`);
      values[key] = key === "mode" ? given : Number(given);
    }
    return values;
  }

  private show(group: Table, fresh: boolean): Element {
    const row = (this.pattern.content.cloneNode(true) as DocumentFragment).firstElementChild!;
    this.body.append(row);
    for (const key of ["name", ...KEYS]) {
      const field = this.field(row, key);
      if (field === null) continue;
      field.value = group[key] === undefined ? "" : String(group[key]);
      field.setAttribute("aria-label", `${field.getAttribute("aria-label")}${fresh ? " of the new group" : ` of ${String(group["name"])}`}`);
    }
    // Other tables refer to it by its name.
    this.field(row, "name")!.readOnly = !fresh;
    return row;
  }

  private wrong(row: Element, key: string, sentence: string): Wrong {
    const field = this.field(row, key);
    field?.setAttribute("aria-invalid", "true");
    field?.addEventListener("input", () => field.removeAttribute("aria-invalid"), { once: true });
    return new Wrong(sentence);
  }

  private field(row: Element, key: string): HTMLInputElement | null {
    return row.querySelector<HTMLInputElement>(`[data-key="${key}"]`);
  }

  private read(row: Element, key: string): string {
    return this.field(row, key)?.value.trim() ?? "";
  }
}
