// <sink-setup>: naming a broker. The form is the server's; this element tests the way to it and puts it into the draft.

import { call } from "../api";
import { answered } from "../early";
import { type Rung, Setup, type Table } from "../setup";

interface Made {
  table: Table;
  wrong: Record<string, string>;
  edits: unknown[];
}

class SinkSetup extends Setup {
  connectedCallback(): void {
    this.addEventListener("click", (event) => {
      const action = (event.target as Element).closest<HTMLElement>("[data-do]")?.dataset["do"];
      if (action === "test") void this.guarded(() => this.test());
      if (action === "stop") this.stop();
    });
    this.addEventListener("input", (event) => this.mend(event.target as HTMLElement));
    this.addEventListener("change", (event) => {
      const target = event.target as HTMLInputElement;
      if (target.id === "secure") this.spot("tls").hidden = !target.checked;
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.keep());
    });
    answered(this);
  }

  private filled(): Promise<Made | undefined> {
    return this.made<Made>("/delivery/tables");
  }

  private async test(): Promise<void> {
    const made = await this.filled();
    if (made === undefined) return;
    const ladder = this.spot("ladder");
    ladder.replaceChildren();
    for await (const { event, data } of this.streamed("/v1/tests/sink", { table: made.table })) {
      if (event === "rung") this.show(ladder, data as Rung);
    }
  }

  private async keep(): Promise<void> {
    const made = await this.filled();
    if (made === undefined) return;
    if (made.edits.length > 0) await call("PATCH", "/v1/config/draft", { edits: made.edits });
    location.assign("/changes");
  }

  /** A refusal names a key of the table: the field that holds it is named after its table. */
  protected override tell(name: string, sentence: string): boolean {
    if (super.tell(name, sentence)) return true;
    const key = name.replace(/^sink\.(\d+\.)?/, "");
    return super.tell(key.startsWith("tls.") ? key : `sink.${key}`, sentence);
  }
}

customElements.define("sink-setup", SinkSetup);
