// What the banners of every page are made of: a note with a sentence and buttons, and what a reload is to know.

import type { Refused } from "./api";
import { icon } from "./icons";

/** `left`: seconds. */
export function countdown(left: number): string {
  if (left <= 0) return "Taken back now";
  return `Taken back in ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} unless it is confirmed`;
}

export function sentence(error: Refused): string {
  const { detail, mend } = error.problem;
  return `${detail[0]!.toUpperCase()}${detail.slice(1)}.${mend ? ` ${mend[0]!.toUpperCase()}${mend.slice(1)}.` : ""}`;
}

export function box(mood: string, name: string, label: string): HTMLElement {
  const note = document.createElement("section");
  note.className = `note ${mood}`;
  note.setAttribute("aria-label", label);
  note.append(icon(name), document.createElement("div"));
  return note;
}

export function line(text: string): HTMLElement {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  return paragraph;
}

export function actions(...given: readonly (readonly [string, string, string])[]): HTMLElement {
  const row = document.createElement("div");
  row.className = "actions";
  for (const [what, word, look] of given) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset["do"] = what;
    button.className = look;
    button.textContent = word;
    row.append(button);
  }
  return row;
}

/** What a reload of this tab is to know. */
export function remember(key: string, what: unknown): void {
  try {
    if (what === undefined) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(what));
  } catch {
    // Without storage a reload doesn't know it.
  }
}

export function recall<T>(key: string): T | undefined {
  try {
    const text = sessionStorage.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}
