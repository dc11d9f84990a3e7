// <copy-as>: its buttons copy the text of the <template> or element that they name by data-copy.

import { say } from "../say";

class CopyAs extends HTMLElement {
  connectedCallback(): void {
    this.addEventListener("click", (event) => void this.copy(event));
  }

  private async copy(event: Event): Promise<void> {
    const button = (event.target as Element).closest<HTMLElement>("[data-copy]");
    if (button === null) return;
    const text = button.dataset["copy"]!;
    try {
      await navigator.clipboard.writeText(text);
      say("good", `Copied: ${button.textContent!.trim()}`);
    } catch {
      say("bad", "The browser doesn't let this page copy; select the text instead.");
    }
    this.querySelector("details")?.removeAttribute("open");
  }
}

customElements.define("copy-as", CopyAs);
