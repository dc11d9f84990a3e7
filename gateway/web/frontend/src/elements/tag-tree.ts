// <tag-tree chosen="filler/speed">: the namespace as a tree after the ARIA pattern: one stop for Tab, arrows inside,
// letters search. What is inside a branch is put into the page when it is opened. Choosing a tag loads what is published
// of it into #leaf.

import htmx from "htmx.org";
import { icon } from "../icons";
import { subscribe } from "../live";
import { QualityMark, withUnit } from "../show";
import type { Row } from "../values";
import type { LivePart } from "./live-part";

const FORGET_LETTERS_MS = 700;

interface Branch {
  readonly name: string;
  readonly path: string;
  readonly parts: Map<string, Branch>;
  row: Row | undefined;
  tags: number;
}

class TagTree extends HTMLElement {
  private stop: (() => void) | undefined;
  private root: Branch = branch("", "");
  private readonly nodes = new Map<string, Node>();
  private readonly open = new Set<string>();
  private chosen = "";
  private current: Node | undefined;
  private letters = "";
  private lettersAt = 0;
  private readonly tree = document.createElement("ul");
  private readonly outer = new AbortController();

  connectedCallback(): void {
    const { signal } = this.outer;
    this.chosen = this.getAttribute("chosen") ?? "";
    this.tree.className = "live";
    this.tree.setAttribute("role", "tree");
    this.tree.setAttribute("aria-label", "Namespace");
    this.tree.addEventListener("click", (event) => this.clicked(event), { signal });
    this.tree.addEventListener("keydown", (event) => this.keyed(event), { signal });
    this.filterField?.addEventListener("input", () => this.build(), { signal });
    this.stop = subscribe("*", ({ whole, rows }) => {
      if (whole) this.take(rows);
      else for (const row of rows) this.nodes.get(placeOf(row))?.show(row);
    });
  }

  disconnectedCallback(): void {
    this.outer.abort();
    this.stop?.();
  }

  private get filterField(): HTMLInputElement | null {
    return (this.closest("section") ?? document).querySelector("[data-tree-filter]");
  }

  private take(rows: readonly Row[]): void {
    this.rows = rows;
    if (rows.length === 0) {
      const blank = document.createElement("div");
      blank.className = "blank";
      blank.append(icon("namespace"), "No tags yet: add a device, and its topics appear here.");
      this.replaceChildren(blank);
      return;
    }
    const first = this.nodes.size === 0;
    const row = rows.find((each) => each.tag === this.chosen);
    if (first && row !== undefined) for (const path of above(placeOf(row))) this.open.add(path);
    if (first && row === undefined) this.openFirst(rows);
    this.build();
    if (first && row !== undefined) this.choose(this.nodes.get(placeOf(row)));
  }

  private rows: readonly Row[] = [];

  /** Down to where the ways part: nobody wants to open an enterprise with one site by hand. */
  private openFirst(rows: readonly Row[]): void {
    let at = this.plant(rows);
    while (at.parts.size === 1 && at.row === undefined) {
      at = [...at.parts.values()][0]!;
      this.open.add(at.path);
    }
  }

  private plant(rows: readonly Row[]): Branch {
    const root = branch("", "");
    for (const row of rows) {
      let at = root;
      at.tags += 1;
      for (const name of [...row.group.location, ...row.path.split("/")]) {
        let next = at.parts.get(name);
        if (next === undefined) at.parts.set(name, (next = branch(name, at.path === "" ? name : `${at.path}/${name}`)));
        next.tags += 1;
        at = next;
      }
      at.row = row;
    }
    return root;
  }

  /** All that is open, anew; where somebody is stays where it is. */
  private build(): void {
    const needle = (this.filterField?.value ?? "").trim().toLowerCase();
    const rows = needle === "" ? this.rows : this.rows.filter((row) => placeOf(row).toLowerCase().includes(needle));
    const focused = this.tree.contains(document.activeElement);
    const place = this.current?.branch.path;
    this.root = this.plant(rows);
    this.nodes.clear();
    this.tree.replaceChildren();
    this.fill(this.tree, this.root, 0, needle !== "");
    if (rows.length === 0) {
      const none = document.createElement("li");
      none.setAttribute("role", "none");
      none.className = "muted";
      none.textContent = "No tag matches.";
      this.tree.append(none);
    }
    if (this.firstElementChild !== this.tree) this.replaceChildren(this.tree);
    this.current = undefined;
    const node = (place === undefined ? undefined : this.nodes.get(place)) ?? this.visible()[0];
    if (node !== undefined) this.stand(node, focused);
  }

  private fill(list: HTMLElement, at: Branch, depth: number, all: boolean): void {
    const parts = [...at.parts.values()];
    parts.forEach((part, index) => {
      const node = new Node(part, depth, index, parts.length);
      node.element.setAttribute("aria-selected", String(part.row !== undefined && part.row.tag === this.chosen));
      this.nodes.set(part.path, node);
      if (part.row !== undefined) node.show(part.row);
      if (part.parts.size > 0 && (all || this.open.has(part.path))) this.expand(node, all);
      list.append(node.element);
    });
  }

  private expand(node: Node, all = false): void {
    const inner = node.unfold();
    if (inner.childElementCount === 0) this.fill(inner, node.branch, node.depth + 1, all);
    if (!all) this.open.add(node.branch.path);
  }

  private collapse(node: Node): void {
    node.fold();
    this.open.delete(node.branch.path);
    if (this.current !== undefined && this.current !== node && node.element.contains(this.current.element)) {
      this.stand(node, true);
    }
  }

  private stand(node: Node, focus: boolean): void {
    if (this.current !== undefined) this.current.element.tabIndex = -1;
    this.current = node;
    node.element.tabIndex = 0;
    if (focus) node.element.focus();
  }

  private choose(node: Node | undefined): void {
    if (node?.branch.row === undefined) return;
    this.chosen = node.branch.row.tag;
    for (const each of this.nodes.values()) each.element.setAttribute("aria-selected", String(each === node));
    const place = document.getElementById("leaf");
    if (place === null) return;
    const part = document.createElement("live-part") as LivePart;
    part.setAttribute("src", `/namespace/tag?tag=${encodeURIComponent(this.chosen)}`);
    part.setAttribute("every", "2");
    part.setAttribute("now", "");
    place.replaceChildren(part);
    htmx.process(place);
    const url = new URL(location.href);
    url.searchParams.set("tag", this.chosen);
    history.replaceState(history.state, "", url);
  }

  private visible(): Node[] {
    return [...this.tree.querySelectorAll<HTMLElement>('[role="treeitem"]')]
      .filter((element) => element.closest('[role="group"][hidden]') === null)
      .map((element) => this.nodes.get(element.dataset["path"]!)!);
  }

  private clicked(event: Event): void {
    const element = (event.target as Element).closest<HTMLElement>('[role="treeitem"]');
    const node = element === null ? undefined : this.nodes.get(element.dataset["path"]!);
    if (node === undefined) return;
    this.stand(node, true);
    this.act(node);
  }

  private act(node: Node): void {
    if (node.branch.parts.size > 0) {
      if (node.isOpen) this.collapse(node);
      else this.expand(node);
    }
    this.choose(node);
  }

  private keyed(event: KeyboardEvent): void {
    const node = this.current;
    if (node === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = this.visible();
    const at = shown.indexOf(node);
    let next: Node | undefined;
    switch (event.key) {
      case "ArrowDown":
        next = shown[at + 1];
        break;
      case "ArrowUp":
        next = shown[at - 1];
        break;
      case "Home":
        next = shown[0];
        break;
      case "End":
        next = shown[shown.length - 1];
        break;
      case "ArrowRight":
        if (node.branch.parts.size === 0) return;
        if (node.isOpen) next = shown[at + 1];
        else this.expand(node);
        break;
      case "ArrowLeft":
        if (node.isOpen) this.collapse(node);
        else next = this.nodes.get(node.branch.path.split("/").slice(0, -1).join("/"));
        break;
      case "Enter":
      case " ":
        this.act(node);
        break;
      case "*":
        for (const each of [...this.nodes.values()]) {
          if (each.depth === node.depth && each.branch.parts.size > 0) this.expand(each);
        }
        break;
      default:
        if (event.key.length !== 1) return;
        next = this.search(event.key, shown, at);
    }
    event.preventDefault();
    if (next !== undefined) this.stand(next, true);
  }

  private search(letter: string, shown: readonly Node[], at: number): Node | undefined {
    const now = performance.now();
    this.letters = (now - this.lettersAt > FORGET_LETTERS_MS ? "" : this.letters) + letter.toLowerCase();
    this.lettersAt = now;
    const from = this.letters.length === 1 ? at + 1 : at;
    return [...shown.slice(from), ...shown.slice(0, from)].find((node) =>
      node.branch.name.toLowerCase().startsWith(this.letters),
    );
  }
}

/** One branch or tag that is in the page. */
class Node {
  readonly element = document.createElement("li");
  private readonly value = document.createElement("span");
  private readonly mark = new QualityMark();
  private inner: HTMLUListElement | undefined;

  constructor(
    readonly branch: Branch,
    readonly depth: number,
    index: number,
    size: number,
  ) {
    const { element } = this;
    element.setAttribute("role", "treeitem");
    element.setAttribute("aria-level", String(depth + 1));
    element.setAttribute("aria-posinset", String(index + 1));
    element.setAttribute("aria-setsize", String(size));
    element.tabIndex = -1;
    element.dataset["path"] = branch.path;
    const line = document.createElement("div");
    line.className = "node";
    line.style.setProperty("--depth", String(depth));
    const sign = icon(branch.parts.size > 0 ? "chevron" : "tags");
    if (branch.parts.size > 0) {
      sign.classList.add("chevron");
      element.setAttribute("aria-expanded", "false");
    }
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = branch.name;
    name.title = branch.path;
    line.append(sign, name);
    if (branch.parts.size > 0) {
      const count = document.createElement("span");
      count.className = "count";
      count.textContent = String(branch.tags);
      count.setAttribute("aria-label", `${branch.tags} tags`);
      line.append(count);
    }
    if (branch.row !== undefined) {
      const what = document.createElement("span");
      what.className = "what";
      this.value.className = "value";
      what.append(this.value, this.mark.element);
      line.append(what);
    }
    element.append(line);
  }

  get isOpen(): boolean {
    return this.element.getAttribute("aria-expanded") === "true";
  }

  show(row: Row): void {
    const value = withUnit(row);
    if (this.value.textContent !== value) {
      this.value.textContent = value;
      this.value.title = value;
    }
    this.mark.show(row.kind, row.word);
  }

  /** Its list of parts, now to be seen. */
  unfold(): HTMLUListElement {
    if (this.inner === undefined) {
      this.inner = document.createElement("ul");
      this.inner.setAttribute("role", "group");
      this.element.append(this.inner);
    }
    this.inner.hidden = false;
    this.element.setAttribute("aria-expanded", "true");
    return this.inner;
  }

  fold(): void {
    if (this.inner !== undefined) this.inner.hidden = true;
    this.element.setAttribute("aria-expanded", "false");
  }
}

function branch(name: string, path: string): Branch {
  return { name, path, parts: new Map(), row: undefined, tags: 0 };
}

function placeOf(row: Row): string {
  return [...row.group.location, row.path].join("/");
}

/** The paths above one, from the root. */
function above(path: string): string[] {
  const names = path.split("/");
  return names.slice(0, -1).map((_, at) => names.slice(0, at + 1).join("/"));
}

customElements.define("tag-tree", TagTree);
