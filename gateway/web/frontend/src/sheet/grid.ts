// A sheet on the screen, as a grid that a keyboard is enough for (WAI-ARIA's grid pattern). Rows stay the elements they
// are; a cell that somebody edits isn't touched until he is done.

import { copied, type Column, differs, parsed, type Row, type Sheet, text } from "./model";

interface Spot {
  row: number;
  column: number;
}

interface Shown {
  element: HTMLTableRowElement;
  tick: HTMLInputElement;
  number: HTMLElement;
  cells: Map<number, HTMLTableCellElement>;
  texts: Map<number, string>;
}

const PAGE = 20;
const NARROWEST = 7;
const WIDEST = 30;

export interface Listener {
  /** The sheet was changed. */
  edited(): void;
  /** Where the cursor is, or what is chosen, is another. */
  moved(): void;
}

export class Grid {
  /** Positions of the columns that are shown. */
  visible: number[] = [];
  readonly ticked = new Set<Row>();
  private readonly shown = new Map<Row, Shown>();
  private readonly wrong = new Map<Row, Map<number, string>>();
  private readonly head = document.createElement("thead");
  private readonly body = document.createElement("tbody");
  private cursor: Spot = { row: 0, column: 0 };
  private anchor: Spot = { row: 0, column: 0 };
  private marked: HTMLElement[] = [];
  private input: HTMLInputElement | undefined;

  constructor(
    private readonly table: HTMLTableElement,
    private readonly sheet: Sheet,
    private readonly listener: Listener,
  ) {
    table.setAttribute("role", "grid");
    table.setAttribute("aria-multiselectable", "true");
    table.append(this.head, this.body);
    table.addEventListener("keydown", (event) => this.pressed(event));
    table.addEventListener("mousedown", (event) => this.clicked(event));
    table.addEventListener("dblclick", () => this.edit());
    table.addEventListener("copy", (event) => this.copy(event));
    table.addEventListener("cut", (event) => this.copy(event) && this.clear());
    table.addEventListener("paste", (event) => this.pasted(event));
    table.addEventListener("change", (event) => this.tickedOne(event.target as HTMLInputElement));
    table.addEventListener("focusin", (event) => this.focused(event.target as HTMLElement));
  }

  get column(): Column | undefined {
    return this.sheet.columns[this.visible[this.cursor.column] ?? -1];
  }

  /** Rows with a tick; without any, those the cursor spans. */
  get chosen(): Set<Row> {
    if (this.ticked.size > 0) return new Set(this.sheet.rows.filter((row) => this.ticked.has(row)));
    const [from, to] = this.span("row");
    return new Set(this.sheet.rows.slice(from, to + 1));
  }

  /** Make the screen show the sheet as it is. */
  refresh(): void {
    const { rows } = this.sheet;
    this.table.setAttribute("aria-rowcount", String(rows.length + 1));
    this.table.setAttribute("aria-colcount", String(this.visible.length + 1));
    const kept = new Set(rows);
    for (const [row, { element }] of this.shown) {
      if (kept.has(row)) continue;
      this.ticked.delete(row);
      element.remove();
      this.shown.delete(row);
    }
    let next = this.body.firstElementChild;
    for (const [at, row] of rows.entries()) {
      const shown = this.shown.get(row) ?? this.make(row);
      if (shown.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(shown.element, next);
      this.fill(row, shown, at);
    }
    this.settle();
  }

  /** Show these columns, in this order; the rows are made anew. */
  columnsAre(visible: number[]): void {
    this.visible = visible;
    this.shown.clear();
    this.body.replaceChildren();
    this.heading();
    this.refresh();
  }

  /** What is wrong with which cells. */
  tell(wrong: ReadonlyMap<Row, ReadonlyMap<number, string>>): void {
    const before = new Set(this.wrong.keys());
    this.wrong.clear();
    for (const [row, cells] of wrong) this.wrong.set(row, new Map(cells));
    for (const row of new Set([...before, ...this.wrong.keys()])) {
      const shown = this.shown.get(row);
      if (shown !== undefined) this.fill(row, shown, this.sheet.rows.indexOf(row));
    }
  }

  goTo(row: Row, column: number): void {
    const at = this.visible.indexOf(column);
    this.move({ row: this.sheet.rows.indexOf(row), column: Math.max(0, at) });
  }

  /** Only rows of which a cell has these letters. */
  filter(letters: string): void {
    const wanted = letters.trim().toLowerCase();
    for (const [row, { element }] of this.shown) {
      element.hidden = wanted !== "" && !row.cells.some((cell) => text(cell).toLowerCase().includes(wanted));
    }
  }

  /** What is being typed goes into its cell. */
  finish(): void {
    const input = this.input;
    if (input === undefined) return;
    this.input = undefined;
    const { row, column } = this.cursor;
    const target = this.sheet.rows[row]!;
    const at = this.visible[column]!;
    const typed = input.value.trim();
    this.take(input);
    if (typed !== text(target.cells[at])) this.change(() => this.sheet.set(target, at, typed));
  }

  // --- what is on the screen ---

  private heading(): void {
    const row = document.createElement("tr");
    row.setAttribute("aria-rowindex", "1");
    const all = document.createElement("input");
    all.type = "checkbox";
    all.dataset["all"] = "";
    all.setAttribute("aria-label", "All rows");
    const first = document.createElement("th");
    first.scope = "col";
    first.style.width = "4.5rem";
    first.append(all);
    row.append(first);
    for (const at of this.visible) {
      const head = document.createElement("th");
      const column = this.sheet.columns[at]!;
      head.scope = "col";
      head.textContent = column.name;
      head.title = column.about;
      head.style.width = `${this.width(at)}ch`;
      row.append(head);
    }
    this.head.replaceChildren(row);
    const width = this.visible.reduce((sum, at) => sum + this.width(at), 0);
    this.table.style.width = `max(100%, calc(4.5rem + ${width}ch))`;
  }

  private width(at: number): number {
    const longest = this.sheet.rows.reduce((most, row) => Math.max(most, text(row.cells[at]).length), 0);
    return Math.min(WIDEST, Math.max(NARROWEST, longest + 3, this.sheet.columns[at]!.name.length + 3));
  }

  private make(row: Row): Shown {
    const element = document.createElement("tr");
    const first = document.createElement("th");
    first.scope = "row";
    const tick = document.createElement("input");
    tick.type = "checkbox";
    tick.tabIndex = -1;
    const number = document.createElement("span");
    number.className = "muted";
    first.append(tick, number);
    element.append(first);
    const cells = new Map<number, HTMLTableCellElement>();
    for (const at of this.visible) {
      const cell = document.createElement("td");
      cell.tabIndex = -1;
      cell.setAttribute("role", "gridcell");
      element.append(cell);
      cells.set(at, cell);
    }
    const shown = { element, tick, number, cells, texts: new Map<number, string>() };
    this.shown.set(row, shown);
    return shown;
  }

  private fill(row: Row, shown: Shown, at: number): void {
    shown.number.textContent = String(at + 1);
    shown.tick.checked = this.ticked.has(row);
    shown.tick.setAttribute("aria-label", `Row ${at + 1}`);
    shown.element.setAttribute("aria-rowindex", String(at + 2));
    shown.element.toggleAttribute("data-new", row.was === undefined);
    shown.element.toggleAttribute("data-changed", differs(row));
    const wrong = this.wrong.get(row);
    for (const [column, cell] of shown.cells) {
      const said = wrong?.get(column);
      cell.toggleAttribute("data-changed", row.was !== undefined && row.cells[column] !== row.was[column]);
      if (said === undefined) {
        cell.removeAttribute("aria-invalid");
        cell.removeAttribute("title");
      } else {
        cell.setAttribute("aria-invalid", "true");
        cell.title = said;
      }
      const now = text(row.cells[column]);
      if (shown.texts.get(column) === now || this.input?.parentElement === cell) continue;
      shown.texts.set(column, now);
      cell.textContent = now;
    }
  }

  private cellAt({ row, column }: Spot): HTMLTableCellElement | undefined {
    const of = this.sheet.rows[row];
    return of === undefined ? undefined : this.shown.get(of)?.cells.get(this.visible[column] ?? -1);
  }

  /** One cell can be reached by Tab; those between the anchor and it are chosen. */
  private settle(): void {
    const most = { row: this.sheet.rows.length - 1, column: this.visible.length - 1 };
    for (const spot of [this.cursor, this.anchor]) {
      spot.row = Math.max(0, Math.min(spot.row, most.row));
      spot.column = Math.max(0, Math.min(spot.column, most.column));
    }
    for (const cell of this.marked) {
      cell.tabIndex = -1;
      cell.removeAttribute("aria-selected");
    }
    this.marked = [];
    const [top, bottom] = this.span("row");
    const [left, right] = this.span("column");
    for (let row = top; row <= bottom; row += 1) {
      for (let column = left; column <= right; column += 1) {
        const cell = this.cellAt({ row, column });
        if (cell === undefined) continue;
        cell.setAttribute("aria-selected", "true");
        this.marked.push(cell);
      }
    }
    const here = this.cellAt(this.cursor);
    if (here !== undefined) here.tabIndex = 0;
  }

  private span(of: "row" | "column"): [number, number] {
    return [Math.min(this.cursor[of], this.anchor[of]), Math.max(this.cursor[of], this.anchor[of])];
  }

  // --- keyboard and mouse ---

  private move(to: Spot, extend = false): void {
    this.cursor = { ...to };
    if (!extend) this.anchor = { ...to };
    this.settle();
    const cell = this.cellAt(this.cursor);
    cell?.focus();
    cell?.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.listener.moved();
  }

  /** The next row up or down that the filter leaves. */
  private beside(row: number, by: number): number {
    const step = Math.sign(by);
    let left = Math.abs(by);
    let found = row;
    for (let at = row + step; left > 0 && at >= 0 && at < this.sheet.rows.length; at += step) {
      if (this.shown.get(this.sheet.rows[at]!)?.element.hidden) continue;
      found = at;
      left -= 1;
    }
    return found;
  }

  private pressed(event: KeyboardEvent): void {
    if (this.input !== undefined) {
      this.pressedWhileEditing(event);
      return;
    }
    if ((event.target as HTMLElement).tagName !== "TD") return;
    const { row, column } = this.cursor;
    const control = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    const last = this.visible.length - 1;
    const end = this.sheet.rows.length;
    const targets: Record<string, Spot> = {
      ArrowUp: { row: control ? this.beside(row, -end) : this.beside(row, -1), column },
      ArrowDown: { row: control ? this.beside(row, end) : this.beside(row, 1), column },
      ArrowLeft: { row, column: control ? 0 : Math.max(0, column - 1) },
      ArrowRight: { row, column: control ? last : Math.min(last, column + 1) },
      PageUp: { row: this.beside(row, -PAGE), column },
      PageDown: { row: this.beside(row, PAGE), column },
      Home: { row: control ? 0 : row, column: 0 },
      End: { row: control ? end - 1 : row, column: last },
    };
    const target = targets[event.key];
    if (target !== undefined) this.move(target, event.shiftKey);
    else if (event.key === "Enter" || event.key === "F2") this.edit();
    else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else if (event.key === "Escape") this.move(this.cursor);
    else if (event.key === " ") this.toggle();
    else if (control && letter === "a") this.all();
    else if (control && letter === "d") this.fillDown();
    else if (control && letter === "z") this.undo();
    else if (event.key.length === 1 && !control && !event.altKey) this.edit(event.key);
    else return;
    event.preventDefault();
  }

  private pressedWhileEditing(event: KeyboardEvent): void {
    const { row, column } = this.cursor;
    if (event.key === "Escape") {
      const input = this.input!;
      this.input = undefined;
      this.take(input);
      this.move(this.cursor);
    } else if (event.key === "Enter") {
      this.finish();
      this.move({ row: this.beside(row, event.shiftKey ? -1 : 1), column });
    } else if (event.key === "Tab") {
      this.finish();
      this.move({ row, column: Math.max(0, Math.min(this.visible.length - 1, column + (event.shiftKey ? -1 : 1))) });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private clicked(event: MouseEvent): void {
    const cell = (event.target as Element).closest("td");
    if (cell === null || this.input?.parentElement === cell) return;
    const spot = this.spotOf(cell);
    if (spot === undefined) return;
    event.preventDefault();
    this.finish();
    this.move(spot, event.shiftKey);
  }

  /** A screen reader puts the focus where it likes: the cursor goes along. */
  private focused(target: HTMLElement): void {
    if (target.tagName !== "TD" || target === this.cellAt(this.cursor)) return;
    const spot = this.spotOf(target as HTMLTableCellElement);
    if (spot !== undefined) this.move(spot);
  }

  private spotOf(cell: HTMLTableCellElement): Spot | undefined {
    const row = this.sheet.rows.findIndex((each) => this.shown.get(each)?.element === cell.parentElement);
    return row < 0 ? undefined : { row, column: cell.cellIndex - 1 };
  }

  private tickedOne(target: HTMLInputElement): void {
    if (target.type !== "checkbox") return;
    for (const [row, { element, tick }] of this.shown) {
      if ("all" in target.dataset && !element.hidden) tick.checked = target.checked;
      if (tick.checked) this.ticked.add(row);
      else this.ticked.delete(row);
    }
    this.listener.moved();
  }

  // --- editing ---

  private change(work: () => void): void {
    this.sheet.change(work);
    this.refresh();
    this.listener.edited();
  }

  undo(): void {
    if (!this.sheet.undo()) return;
    this.refresh();
    this.move(this.cursor);
    this.listener.edited();
  }

  private edit(typed?: string): void {
    const cell = this.cellAt(this.cursor);
    const { column } = this;
    if (cell === undefined || column === undefined || this.input !== undefined) return;
    const row = this.sheet.rows[this.cursor.row]!;
    const input = (this.input = document.createElement("input"));
    input.value = typed ?? text(row.cells[this.visible[this.cursor.column]!]);
    input.setAttribute("aria-label", `${column.name}, row ${this.cursor.row + 1}`);
    if (column.choices.length > 0) input.setAttribute("list", `choices-${column.name}`);
    input.autocomplete = "off";
    input.spellcheck = false;
    input.addEventListener("blur", () => this.finish());
    cell.replaceChildren(input);
    input.focus();
    if (typed === undefined) input.select();
  }

  /** The cell shows its text again. */
  private take(input: HTMLInputElement): void {
    const cell = input.parentElement;
    const row = this.sheet.rows[this.cursor.row];
    if (cell === null || row === undefined) return;
    const now = text(row.cells[this.visible[this.cursor.column]!]);
    this.shown.get(row)?.texts.set(this.visible[this.cursor.column]!, now);
    cell.textContent = now;
  }

  private clear(): void {
    this.each((row, column) => this.sheet.set(row, column, null));
  }

  private each(work: (row: Row, column: number) => void): void {
    const [top, bottom] = this.span("row");
    const [left, right] = this.span("column");
    this.change(() => {
      for (const row of this.sheet.rows.slice(top, bottom + 1)) {
        if (this.shown.get(row)?.element.hidden) continue;
        for (const column of this.visible.slice(left, right + 1)) work(row, column);
      }
    });
  }

  private toggle(): void {
    const row = this.sheet.rows[this.cursor.row];
    const at = this.visible[this.cursor.column];
    if (row === undefined || at === undefined) return;
    if (this.column?.kind === "check") this.change(() => this.sheet.set(row, at, text(row.cells[at]) !== "true"));
    else {
      const { tick } = this.shown.get(row)!;
      tick.checked = !tick.checked;
      this.tickedOne(tick);
    }
  }

  private all(): void {
    this.anchor = { row: 0, column: 0 };
    this.cursor = { row: this.sheet.rows.length - 1, column: this.visible.length - 1 };
    this.settle();
    this.listener.moved();
  }

  /** What is chosen becomes as its first row. */
  private fillDown(): void {
    const first = this.sheet.rows[this.span("row")[0]];
    if (first === undefined) return;
    const cells = [...first.cells];
    this.each((row, column) => this.sheet.set(row, column, cells[column] ?? null));
  }

  private copy(event: ClipboardEvent): boolean {
    if (this.input !== undefined) return false;
    const [top, bottom] = this.span("row");
    const [left, right] = this.span("column");
    const columns = this.visible.slice(left, right + 1);
    const rows = this.sheet.rows.slice(top, bottom + 1).filter((row) => !this.shown.get(row)?.element.hidden);
    event.clipboardData?.setData("text/plain", copied(rows.map((row) => columns.map((at) => row.cells[at]!))));
    event.preventDefault();
    return true;
  }

  private pasted(event: ClipboardEvent): void {
    const given = event.clipboardData?.getData("text/plain") ?? "";
    if (this.input !== undefined || given === "") return;
    event.preventDefault();
    const { row } = this.cursor;
    const column = this.visible[this.cursor.column] ?? 0;
    let size = { rows: 0, columns: 0 };
    this.change(() => (size = this.sheet.paste(parsed(given), row, column, this.visible)));
    this.anchor = { ...this.cursor };
    this.cursor = { row: row + size.rows - 1, column: this.cursor.column + size.columns - 1 };
    this.settle();
    this.cellAt(this.cursor)?.focus();
    this.listener.moved();
  }
}
