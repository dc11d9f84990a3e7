// The tags of a device that is being set up, as rows: what was found, what somebody makes of it, what it reads now.

import { call, Refused } from "./api";
import { type Reading, Setup, type Table } from "./setup";
import { text, words } from "./show";
import { kindOf } from "./values";

export interface Item {
  kind: string;
  path: string;
  address: string;
  type: string | null;
  count: number | null;
  name: string;
  unit: string | null;
  description: string;
  value: unknown;
  options: Table;
}

export abstract class TagRows extends Setup {
  private renaming: ReturnType<typeof setTimeout> | undefined;

  protected rows(): HTMLTableRowElement[] {
    return [...this.spot("rows").querySelectorAll("tr")];
  }

  protected tick(row: HTMLElement): HTMLInputElement {
    return row.querySelector<HTMLInputElement>('[data-column="picked"]')!;
  }

  protected cell(row: HTMLElement, column: string): HTMLInputElement {
    return row.querySelector<HTMLInputElement>(`[data-column="${column}"]`)!;
  }

  protected add(item: Partial<Item>, picked: boolean): HTMLTableRowElement {
    const row = document.createElement("tr");
    const found = { path: item.path ?? "", original: item.name ?? "", address: item.address ?? "", type: item.type ?? "" };
    row.dataset["found"] = JSON.stringify(found);
    const beside = Object.entries(item.options ?? {}).filter(([key]) => this.beside.includes(key));
    row.dataset["more"] = JSON.stringify({
      ...(item.count === null || item.count === undefined ? {} : { count: item.count }),
      ...(item.description ? { description: item.description } : {}),
      ...(item.name && item.name !== item.path?.split("/").pop() ? { original_name: item.name } : {}),
      ...Object.fromEntries(Object.entries(item.options ?? {}).filter(([key]) => !this.beside.includes(key))),
    });
    const tick = document.createElement("input");
    tick.type = "checkbox";
    tick.checked = picked;
    tick.dataset["column"] = "picked";
    tick.setAttribute("aria-label", `Take ${item.path || "this tag"}`);
    const head = document.createElement("td");
    head.append(tick);
    row.append(head);
    const places = { ...Object.fromEntries(this.beside.map((key) => [key, ""])), ...Object.fromEntries(beside) };
    const texts = { name: item.path ?? "", ...places, address: item.address ?? "", type: item.type ?? "", unit: item.unit ?? "" };
    for (const [column, text] of Object.entries(texts)) {
      const input = document.createElement("input");
      input.value = String(text);
      input.dataset["column"] = column;
      const title = column === "address" ? this.dataset["address"]! : column;
      input.setAttribute("aria-label", title.charAt(0).toUpperCase() + title.slice(1));
      if (column === "type") input.setAttribute("list", "types");
      input.spellcheck = false;
      input.autocomplete = "off";
      const cell = document.createElement("td");
      cell.append(input);
      row.append(cell);
    }
    for (const column of ["value", "topic"]) {
      const cell = document.createElement("td");
      cell.dataset["shown"] = column;
      cell.className = column === "value" ? "number" : "muted break";
      row.append(cell);
    }
    this.spot("rows").append(row);
    const shown = row.querySelector('[data-shown="value"]')!;
    if (item.value !== undefined && item.value !== null) shown.textContent = String(item.value);
    else if (item.count && this.field("place") !== null) shown.append(`${item.count} registers `, this.looker(found.address));
    this.spot("own").removeAttribute("data-empty");
    this.topics();
    return row;
  }

  private looker(address: string): HTMLButtonElement {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet link";
    button.dataset["do"] = "look";
    button.textContent = "What are they?";
    button.setAttribute("aria-label", `What stands at ${address}?`);
    return button;
  }

  protected value({ tag, value, quality, quality_name }: Reading): void {
    const rows = this.rows().filter((row) => this.cell(row, "name").value.trim() === tag);
    const theirs = [...this.spot("template-rows").children].filter((row) => (row as HTMLElement).dataset["name"] === tag);
    for (const row of [...rows, ...theirs]) {
      const cell = row.querySelector<HTMLElement>('[data-shown="value"]')!;
      cell.textContent = value === null ? words(quality_name) : text(value, row.querySelector<HTMLInputElement>('[data-column="type"]')?.value ?? "");
      cell.title = words(quality_name);
      cell.dataset["quality"] = kindOf(quality);
    }
  }

  /** A tag of the template: it isn't to be changed here. */
  protected brings(tag: Table): HTMLTableRowElement {
    const row = document.createElement("tr");
    const shown = [tag["name"], tag[this.dataset["address"]!], tag["type"], tag["unit"]].map((each) => String(each ?? ""));
    row.dataset["name"] = shown[0]!;
    for (const each of [...shown, "value", "topic"]) {
      const cell = document.createElement("td");
      if (row.children.length < shown.length) cell.textContent = each;
      else cell.dataset["shown"] = each;
      cell.className = each === "value" && row.children.length >= shown.length ? "number" : "break";
      row.append(cell);
    }
    return row;
  }

  protected get beside(): string[] {
    return this.dataset["beside"]!.split(" ").filter((key) => key !== "");
  }

  protected topics(): void {
    const device = this.field("device.name")?.value.trim() || "DEVICE";
    const topic = (tag: string): string => this.dataset["topic"]!.replace("{device}", device).replace("{tag}", tag);
    for (const row of this.rows()) {
      const name = this.cell(row, "name").value.trim();
      row.querySelector('[data-shown="topic"]')!.textContent = name === "" ? "" : topic(name);
    }
    for (const row of this.spot("template-rows").children) {
      row.querySelector('[data-shown="topic"]')!.textContent = topic((row as HTMLElement).dataset["name"]!);
    }
  }

  /** Names by the pattern, of what is picked, once typing pauses. */
  protected rename(): void {
    clearTimeout(this.renaming);
    this.renaming = setTimeout(() => void this.guarded(() => this.renamed(), true), 250);
  }

  private async renamed(): Promise<void> {
    const pattern = this.field("pattern")!.value;
    const rows = this.rows().filter((row) => this.tick(row).checked && JSON.parse(row.dataset["found"]!).path !== "");
    if (pattern.trim() === "" || rows.length === 0) return;
    const items = rows.map((row) => JSON.parse(row.dataset["found"]!) as unknown);
    try {
      const names = await call<{ path: string; problem: string | null }[]>("POST", "/v1/sheet/names", { pattern, items });
      names.forEach(({ path, problem }, at) => {
        const cell = this.cell(rows[at]!, "name");
        if (cell !== document.activeElement) cell.value = path;
        cell.toggleAttribute("aria-invalid", problem !== null);
        if (problem !== null) cell.setAttribute("aria-invalid", "true");
        cell.title = problem ?? "";
      });
      this.mend(this.field("pattern")!);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.tell("pattern", error.message);
    }
    this.topics();
  }

  protected picked(): Table[] {
    return this.rows()
      .filter((row) => this.tick(row).checked)
      .map((row) => {
        const read = (column: string): string => this.cell(row, column).value.trim();
        const places = { [this.dataset["address"]!]: read("address"), ...Object.fromEntries(this.beside.map((key) => [key, read(key)])) };
        const given = Object.entries({ ...places, unit: read("unit") }).filter(([, each]) => each !== "");
        return {
          name: read("name"),
          ...Object.fromEntries(given),
          type: read("type"),
          ...(JSON.parse(row.dataset["more"]!) as Table),
        };
      });
  }
}
