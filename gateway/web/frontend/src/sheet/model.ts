// The tags of a device as a sheet: rows of cells, what was there when it was loaded, and the way back.

/** As /v1/sheet gives it; what somebody types is text, which the server understands as it does a CSV file. */
export type Cell = string | number | boolean | null;

export interface Column {
  readonly name: string;
  readonly kind: "text" | "number" | "check" | "choice";
  readonly choices: readonly string[];
  readonly about: string;
}

export class Row {
  constructor(
    public cells: Cell[],
    /** As it was loaded; undefined: new. */
    readonly was: readonly Cell[] | undefined,
  ) {}
}

const STEPS_BACK = 100;

export class Sheet {
  rows: Row[] = [];
  private past: { rows: Row[]; cells: Cell[][] }[] = [];
  private loaded: Row[] = [];

  constructor(readonly columns: readonly Column[]) {}

  load(rows: Cell[][]): void {
    this.rows = rows.map((cells) => new Row([...cells], cells));
    this.loaded = [...this.rows];
    this.past = [];
  }

  at(name: string): number {
    return this.columns.findIndex((column) => column.name === name);
  }

  get changed(): boolean {
    return this.rows.length !== this.loaded.length || this.rows.some((row, at) => row !== this.loaded[at] || differs(row));
  }

  /** Tags that were loaded and are taken out or called otherwise: what the server may take out. */
  get gone(): Set<string> {
    const name = this.at("name");
    const still = new Set(this.rows.map((row) => text(row.cells[name])));
    return new Set(this.loaded.map((row) => text(row.was![name])).filter((each) => !still.has(each)));
  }

  /** Change something in a way that can be undone. */
  change(work: () => void): void {
    this.past.push({ rows: [...this.rows], cells: this.rows.map((row) => [...row.cells]) });
    if (this.past.length > STEPS_BACK) this.past.shift();
    work();
  }

  undo(): boolean {
    const before = this.past.pop();
    if (before === undefined) return false;
    this.rows = before.rows;
    this.rows.forEach((row, at) => (row.cells = before.cells[at]!));
    return true;
  }

  set(row: Row, column: number, cell: Cell): void {
    // Typed as it was is unchanged: a number stays the number that was loaded.
    const was = row.was?.[column];
    row.cells[column] = was !== undefined && text(was) === text(cell) ? was : cell === "" ? null : cell;
  }

  /** A row of its own below `after`, in the same group. */
  insert(after: Row | undefined): Row {
    const group = this.at("group");
    const row = new Row(this.columns.map(() => null), undefined);
    row.cells[group] = after?.cells[group] ?? null;
    this.rows.splice(after === undefined ? this.rows.length : this.rows.indexOf(after) + 1, 0, row);
    return row;
  }

  remove(rows: ReadonlySet<Row>): void {
    this.rows = this.rows.filter((row) => !rows.has(row));
  }

  /** Cells out of a spreadsheet, from a cell on. With a header that has a name they go to the tags of these names. */
  paste(block: string[][], row: number, column: number, visible: readonly number[]): { rows: number; columns: number } {
    const header = (block[0] ?? []).map((each) => this.at(each.trim().toLowerCase()));
    if (block.length > 1 && header.includes(this.at("name")) && !header.includes(-1)) {
      return this.merge(block.slice(1), header);
    }
    const from = visible.indexOf(column);
    for (const [down, cells] of block.entries()) {
      const into = this.rows[row + down] ?? this.insert(this.rows.at(-1));
      for (const [right, cell] of cells.entries()) {
        const at = visible[from + right];
        if (at !== undefined) this.set(into, at, cell.trim());
      }
    }
    return { rows: block.length, columns: Math.max(0, ...block.map((cells) => cells.length)) };
  }

  private merge(block: string[][], header: number[]): { rows: number; columns: number } {
    const name = this.at("name");
    const known = new Map(this.rows.map((row) => [text(row.cells[name]), row]));
    for (const cells of block) {
      const called = (cells[header.indexOf(name)] ?? "").trim();
      const row = known.get(called) ?? this.insert(this.rows.at(-1));
      header.forEach((at, right) => this.set(row, at, (cells[right] ?? "").trim()));
    }
    return { rows: block.length, columns: header.length };
  }
}

export function differs(row: Row): boolean {
  return row.was === undefined || row.cells.some((cell, at) => cell !== row.was![at]);
}

export function text(cell: Cell | undefined): string {
  return cell === null || cell === undefined ? "" : String(cell);
}

/** Cells as spreadsheet programs copy them: tabs and line ends, quotes around what has such. */
export function parsed(copied: string): string[][] {
  const rows: string[][] = [[]];
  const source = copied.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  let cell = "";
  let quoted = false;
  for (let at = 0; at < source.length; at += 1) {
    const letter = source[at]!;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (source[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (letter === '"' && cell === "" && closes(source, at)) quoted = true;
    else if (letter === "\t" || letter === "\n") {
      rows.at(-1)!.push(cell);
      cell = "";
      if (letter === "\n") rows.push([]);
    } else cell += letter;
  }
  rows.at(-1)!.push(cell);
  return rows;
}

/** Whether the quote at `at` opens a cell that a quote before a tab, a line end or the end closes. */
function closes(source: string, at: number): boolean {
  return /^(?:[^"]|"")*"(?:[\t\n]|$)/.test(source.slice(at + 1));
}

export function copied(rows: readonly (readonly Cell[])[]): string {
  const quote = (cell: string): string => (/[\t\n"]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return rows.map((cells) => cells.map((cell) => quote(text(cell))).join("\t")).join("\n");
}
