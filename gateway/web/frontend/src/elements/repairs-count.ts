// <repairs-count>: how much needs repair, in the menu; with `sentence` a note that leads there. Nothing if nothing does.

import type { Repairs } from "../bulletin";
import { icon } from "../icons";
import { onRepairs } from "../news";

const KINDS = { error: ["bad", "bad"], warning: ["uncertain", "warn"], notice: ["buffering", "info"] } as const;

class RepairsCount extends HTMLElement {
  private stop: (() => void) | undefined;

  connectedCallback(): void {
    this.stop = onRepairs((repairs) => this.show(repairs));
  }

  disconnectedCallback(): void {
    this.stop?.();
  }

  private show({ open, worst }: Repairs): void {
    if (open === 0) {
      this.replaceChildren();
      return;
    }
    const [kind, mood] = KINDS[worst ?? "notice"];
    this.replaceChildren(this.hasAttribute("sentence") ? note(kind, mood, open) : count(kind, open));
  }
}

function count(kind: string, open: number): HTMLElement {
  const chip = document.createElement("span");
  chip.className = `badge ${kind}`;
  const unseen = document.createElement("span");
  unseen.className = "unseen";
  unseen.textContent = open === 1 ? " needs repair" : " need repair";
  chip.append(String(open), unseen);
  return chip;
}

function note(kind: string, mood: string, open: number): HTMLElement {
  const box = document.createElement("div");
  box.className = `note ${mood}`;
  const text = document.createElement("div");
  const link = document.createElement("a");
  link.href = "/diagnostics";
  link.textContent = "What, and what mends it";
  const said = document.createElement("strong");
  said.textContent = open === 1 ? "One thing needs repair. " : `${open} things need repair. `;
  text.append(said, link);
  box.append(icon(kind), text);
  return box;
}

customElements.define("repairs-count", RepairsCount);
