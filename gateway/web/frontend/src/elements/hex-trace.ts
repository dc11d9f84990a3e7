// <hex-trace>: the bytes of one frame and its fields, each leading to the other. Pointing at a field, or standing on it,
// marks its bytes; pointing at a byte marks the fields that it belongs to. By keyboard: one stop for Tab in the bytes and
// one in the fields, arrows inside, Enter goes over to the other side.

import { depths, type Frame, type Part } from "../frames";

const MOST_BYTES = 2048; // shown; of a longer frame the capture has the rest
const ROOM_PX = 540; // for sixteen bytes a line; with less there are eight

export class HexTrace extends HTMLElement {
  private frame: Frame | undefined;
  private bytes: HTMLElement[] = [];
  private letters: HTMLElement[] = [];
  private fields: HTMLElement[] = [];
  private width = 16;
  /** Where somebody stands: what is pointed at goes before it only for as long as it is. */
  private standing: { byte: number } | { field: number } | undefined;
  private readonly outer = new AbortController();

  connectedCallback(): void {
    const { signal } = this.outer;
    this.addEventListener("pointerover", (event) => this.point(event.target as Element), { signal });
    this.addEventListener("pointerleave", () => this.mark(this.standing), { signal });
    this.addEventListener("focusin", (event) => this.stand(event.target as Element), { signal });
    this.addEventListener("keydown", (event) => this.keyed(event), { signal });
    const sizes = new ResizeObserver(() => {
      if (this.frame !== undefined && this.fitting !== this.width) this.show(this.frame);
    });
    sizes.observe(this);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  disconnectedCallback(): void {
    this.outer.abort();
  }

  private get fitting(): number {
    return this.clientWidth < ROOM_PX ? 8 : 16;
  }

  show(frame: Frame): void {
    this.frame = frame;
    this.standing = undefined;
    this.width = this.fitting;
    const octets = frame.hex.match(/../g)?.slice(0, MOST_BYTES) ?? [];
    const parts = [this.dump(octets)];
    if (frame.size > octets.length) parts.push(line(`${frame.size - octets.length} more bytes: the capture has them.`));
    parts.push(this.list(frame.parts));
    this.replaceChildren(...parts);
  }

  private dump(octets: readonly string[]): HTMLElement {
    this.bytes = [];
    this.letters = [];
    const grid = document.createElement("div");
    grid.className = "bytes";
    grid.setAttribute("role", "grid");
    grid.setAttribute("aria-label", "Bytes");
    for (let start = 0; start < octets.length; start += this.width) {
      const row = document.createElement("div");
      row.setAttribute("role", "row");
      const head = document.createElement("span");
      head.className = "offset";
      head.setAttribute("role", "rowheader");
      head.textContent = start.toString(16).padStart(4, "0");
      const text = document.createElement("span");
      text.className = "text";
      text.setAttribute("aria-hidden", "true");
      row.append(head);
      for (let at = start; at < Math.min(start + this.width, octets.length); at++) {
        const cell = document.createElement("span");
        cell.setAttribute("role", "gridcell");
        cell.setAttribute("aria-label", [octets[at], ...this.within(at).map((k) => this.frame!.parts[k]!.name)].join(", "));
        cell.dataset["byte"] = String(at);
        cell.tabIndex = at === 0 ? 0 : -1;
        cell.textContent = octets[at]!;
        const letter = document.createElement("span");
        letter.dataset["byte"] = String(at);
        letter.textContent = printable(Number.parseInt(octets[at]!, 16));
        this.bytes.push(cell);
        this.letters.push(letter);
        row.append(cell);
        text.append(letter);
      }
      row.append(text);
      grid.append(row);
    }
    return grid;
  }

  private list(parts: readonly Part[]): HTMLElement {
    const list = document.createElement("ul");
    list.className = "fields";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Fields");
    const depth = depths(parts);
    this.fields = parts.map((part, at) => {
      const item = document.createElement("li");
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.dataset["field"] = String(at);
      item.style.setProperty("--depth", String(depth[at]));
      item.tabIndex = at === 0 ? 0 : -1;
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = part.name;
      const text = document.createElement("span");
      text.className = "meaning";
      text.textContent = part.text;
      const place = document.createElement("small");
      place.className = "muted";
      place.textContent = part.length === 0 ? "" : part.length === 1 ? `byte ${part.offset}` : `bytes ${part.offset}–${part.offset + part.length - 1}`;
      item.append(name, text, place);
      return item;
    });
    if (parts.length === 0) return line("This driver says no more about it.");
    list.append(...this.fields);
    return list;
  }

  /** The fields a byte belongs to, the innermost first. */
  private within(byte: number): number[] {
    const parts = this.frame!.parts;
    return parts
      .map((_, at) => at)
      .filter((at) => byte >= parts[at]!.offset && byte < parts[at]!.offset + parts[at]!.length)
      .sort((a, b) => parts[a]!.length - parts[b]!.length || b - a);
  }

  private point(target: Element): void {
    const spot = spotOf(target);
    if (spot !== undefined) this.mark(spot);
  }

  private stand(target: Element): void {
    const spot = spotOf(target);
    if (spot === undefined) return;
    this.standing = spot;
    const [all, at] = "byte" in spot ? [this.bytes, spot.byte] : [this.fields, spot.field];
    all.forEach((each, k) => (each.tabIndex = k === at ? 0 : -1));
    this.mark(spot);
    // What it leads to is brought into view, beside the place where somebody stands.
    const other = "byte" in spot ? this.fields[this.within(spot.byte)[0] ?? -1] : this.bytes[this.frame!.parts[spot.field]!.offset];
    other?.scrollIntoView({ block: "nearest" });
  }

  private mark(spot: { byte: number } | { field: number } | undefined): void {
    const chosen = spot === undefined ? [] : "byte" in spot ? this.within(spot.byte) : [spot.field];
    const part = chosen.length === 0 ? undefined : this.frame!.parts[chosen[0]!];
    for (const [at, byte] of this.bytes.entries()) {
      const lit = part !== undefined && at >= part.offset && at < part.offset + part.length;
      byte.toggleAttribute("data-lit", lit);
      this.letters[at]!.toggleAttribute("data-lit", lit);
    }
    for (const [at, field] of this.fields.entries()) {
      field.setAttribute("aria-selected", String(at === chosen[0]));
      field.toggleAttribute("data-around", chosen.indexOf(at) > 0);
    }
  }

  private keyed(event: KeyboardEvent): void {
    const spot = spotOf(event.target as Element);
    if (spot === undefined || event.altKey || event.metaKey) return;
    const next = "byte" in spot ? this.fromByte(spot.byte, event) : this.fromField(spot.field, event.key);
    if (next === undefined) return;
    event.preventDefault();
    next.focus();
  }

  private fromByte(at: number, { key, ctrlKey }: KeyboardEvent): HTMLElement | undefined {
    const start = at - (at % this.width);
    const last = this.bytes.length - 1;
    switch (key) {
      case "ArrowRight":
        return this.bytes[at + 1];
      case "ArrowLeft":
        return this.bytes[at - 1];
      case "ArrowDown":
        return this.bytes[at + this.width];
      case "ArrowUp":
        return this.bytes[at - this.width];
      case "Home":
        return this.bytes[ctrlKey ? 0 : start];
      case "End":
        return this.bytes[ctrlKey ? last : Math.min(start + this.width - 1, last)];
      case "Enter":
        return this.fields[this.within(at)[0] ?? -1];
      default:
        return undefined;
    }
  }

  private fromField(at: number, key: string): HTMLElement | undefined {
    const part = this.frame!.parts[at]!;
    switch (key) {
      case "ArrowDown":
        return this.fields[at + 1];
      case "ArrowUp":
        return this.fields[at - 1];
      case "Home":
        return this.fields[0];
      case "End":
        return this.fields[this.fields.length - 1];
      case "Enter":
        return part.length > 0 ? this.bytes[part.offset] : undefined;
      default:
        return undefined;
    }
  }
}

function spotOf(target: Element): { byte: number } | { field: number } | undefined {
  const place = target.closest<HTMLElement>("[data-byte], [data-field]");
  if (place === null) return undefined;
  const { byte, field } = place.dataset;
  return byte !== undefined ? { byte: Number(byte) } : { field: Number(field) };
}

function printable(octet: number): string {
  return octet >= 0x20 && octet < 0x7f ? String.fromCharCode(octet) : "·";
}

function line(text: string): HTMLElement {
  const paragraph = document.createElement("p");
  paragraph.className = "muted";
  paragraph.textContent = text;
  return paragraph;
}

customElements.define("hex-trace", HexTrace);
