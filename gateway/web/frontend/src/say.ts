// What happened, in a corner for some seconds, and to screen readers.

import { icon } from "./icons";

const SHOWN_MS = 6_000;

export type Mood = "good" | "warn" | "bad" | "info";

const ICONS: Record<Mood, string> = { good: "good", warn: "uncertain", bad: "bad", info: "info" };

export function say(mood: Mood, sentence: string): void {
  const place = document.getElementById("said");
  if (place === null) return;
  const note = document.createElement("div");
  note.className = `note ${mood}`;
  const text = document.createElement("div");
  text.textContent = sentence;
  note.append(icon(ICONS[mood]), text);
  place.append(note);
  if (mood === "good" || mood === "info") {
    setTimeout(() => note.remove(), SHOWN_MS);
    return;
  }
  // What went wrong stays until it was read.
  const close = document.createElement("button");
  close.className = "quiet square";
  close.setAttribute("aria-label", "Close");
  close.append(icon("close"));
  close.addEventListener("click", () => note.remove());
  note.append(close);
}
