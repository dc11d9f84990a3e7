// What went wrong, in place: as the server's macro `note` writes it.

import { icon } from "./icons";
import type { Mood } from "./say";

const ICONS: Record<Mood, string> = { good: "good", warn: "uncertain", bad: "bad", info: "info" };

export function note(mood: Mood, sentence: string, mend = "", code = ""): HTMLElement {
  const box = document.createElement("div");
  box.className = `note ${mood}`;
  const text = document.createElement("div");
  const said = document.createElement("strong");
  said.textContent = whole(sentence);
  text.append(line(said));
  if (mend !== "") {
    const more = line(whole(mend));
    more.className = "mend";
    text.append(more);
  }
  if (code !== "") {
    const small = document.createElement("small");
    small.className = "muted";
    const name = document.createElement("code");
    name.textContent = code;
    small.append("Code: ", name);
    text.append(line(small));
  }
  box.append(icon(ICONS[mood]), text);
  return box;
}

function line(content: string | Node): HTMLParagraphElement {
  const paragraph = document.createElement("p");
  paragraph.append(content);
  return paragraph;
}

/** A sentence as it begins and ends. */
function whole(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
