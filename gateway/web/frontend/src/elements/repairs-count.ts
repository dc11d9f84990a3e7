// <repairs-count>: in the menu, how much needs repair, in the colour of the worst. Nothing if nothing does.

import type { Repairs } from "../bulletin";
import { onRepairs } from "../news";

const KINDS = { error: "bad", warning: "uncertain", notice: "buffering" } as const;

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
    const badge = document.createElement("span");
    badge.className = `badge ${KINDS[worst ?? "notice"]}`;
    const unseen = document.createElement("span");
    unseen.className = "unseen";
    unseen.textContent = open === 1 ? " needs repair" : " need repair";
    badge.append(String(open), unseen);
    this.replaceChildren(badge);
  }
}

customElements.define("repairs-count", RepairsCount);
