// <bundle-upload>: a bundle from this computer to the gateway, part by part, and then its installation. Around a form with
// a file input and a place for what is being done. A part that doesn't arrive is sent again; what has arrived isn't.

import { Refused, call, sendPart } from "../api";
import { answered } from "../early";
import { say } from "../say";
import type { LivePart } from "./live-part";

const PART = 4 << 20;
const TRIES = 6;
const PAUSE_MS = 1_000;

interface Upload {
  readonly path: string;
  readonly received: number;
}

class BundleUpload extends HTMLElement {
  connectedCallback(): void {
    this.querySelector("form")!.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.install();
    });
    answered(this);
  }

  private async install(): Promise<void> {
    const file = this.querySelector<HTMLInputElement>('input[type="file"]')!.files?.[0];
    if (file === undefined || file.size === 0) return;
    const button = this.querySelector("button")!;
    const progress = this.querySelector("progress")!;
    button.disabled = true;
    progress.hidden = false;
    try {
      const path = await this.send(file, (share) => (progress.value = share * 100));
      await call("POST", "/v1/update/install", { path });
      document.querySelector<LivePart>("live-part")?.refresh();
    } catch (error) {
      say("bad", sentence(error));
    } finally {
      button.disabled = false;
      progress.hidden = true;
    }
  }

  /** Returns where the gateway has it. */
  private async send(file: File, show: (share: number) => void): Promise<string> {
    let offset = 0;
    let path = "";
    let failures = 0;
    while (offset < file.size) {
      try {
        const part = file.slice(offset, offset + PART);
        const kept = await sendPart<Upload>(`/v1/update/upload?offset=${offset}&size=${file.size}`, part);
        ({ path, received: offset } = kept);
        failures = 0;
      } catch (error) {
        failures += 1;
        if (failures === TRIES) throw error;
        const received = error instanceof Refused ? error.problem.received : undefined;
        if (error instanceof Refused && received === undefined && error.problem.status !== 429) throw error;
        if (received !== undefined) offset = received;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      show(offset / file.size);
    }
    return path;
  }
}

function sentence(error: unknown): string {
  if (!(error instanceof Refused)) return "The page doesn't answer. Send the bundle again.";
  const { detail, mend } = error.problem;
  return `${detail[0]!.toUpperCase()}${detail.slice(1)}.${mend ? ` ${mend[0]!.toUpperCase()}${mend.slice(1)}.` : ""}`;
}

customElements.define("bundle-upload", BundleUpload);
