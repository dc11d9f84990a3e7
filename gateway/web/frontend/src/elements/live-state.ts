// <live-state>: in the bar, whether what the page shows is current, in a word and an icon.

import { icon } from "../icons";
import { onPresence, since } from "../presence";
import { duration } from "../words";

class LiveState extends HTMLElement {
  private stop: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  connectedCallback(): void {
    this.setAttribute("role", "status");
    this.stop = onPresence(() => this.show());
    this.timer = setInterval(() => {
      if (since() !== undefined) this.show();
    }, 1000);
    this.show();
  }

  disconnectedCallback(): void {
    this.stop?.();
    clearInterval(this.timer);
  }

  private show(): void {
    const offline = since();
    const chip = document.createElement("span");
    chip.className = `state chip ${offline === undefined ? "good" : "bad"}`;
    const word = document.createElement("span");
    word.textContent = offline === undefined ? "Live" : "Offline";
    chip.append(icon(offline === undefined ? "good" : "off"), word);
    if (offline !== undefined) {
      const age = document.createElement("span");
      age.setAttribute("aria-hidden", "true"); // or a screen reader would count seconds aloud
      age.textContent = duration(Date.now() - offline);
      chip.append(age);
    }
    if (this.textContent !== chip.textContent) this.replaceChildren(chip);
  }
}

customElements.define("live-state", LiveState);
