// <device-search>: looks for devices in a driver's way and shows what is found as it is found. What somebody chooses is
// told as `tg:found`, with the tables that would configure it.

import { Refused } from "../api";
import { answered } from "../early";
import { fit } from "../fit";
import { Setup, type Table } from "../setup";

export interface Found {
  link: Table | null;
  device: (Table & { group?: { tag?: Table[]; interval_ms?: number }[] }) | null;
}

interface Finding extends Found {
  row: Record<string, unknown>;
}

interface Course {
  done: number;
  total: number;
  doing: string;
}

const TITLES: Readonly<Record<string, string>> = { rssi: "RSSI (dBm)", url: "URL", usb: "USB", "server id": "Server ID" };

class DeviceSearch extends Setup {
  private columns: string[] = [];
  private found = 0;

  connectedCallback(): void {
    fit(this);
    this.addEventListener("change", () => fit(this));
    this.addEventListener("input", (event) => this.mend(event.target as HTMLElement));
    this.addEventListener("click", (event) => {
      if ((event.target as Element).closest('[data-do="stop"]') !== null) this.stop();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.search());
    });
    answered(this);
  }

  private async search(): Promise<void> {
    const made = await this.made<{ options: Table; wrong: Record<string, string> }>(`${this.dataset["base"]}/search`);
    if (made === undefined) return;
    this.begin();
    let ended = "Stopped";
    try {
      const path = `/v1/scans/${encodeURIComponent(this.dataset["driver"]!)}`;
      for await (const { event, data } of this.streamed(path, { options: made.options })) {
        if (event === "progress") this.show_course(data as Course);
        if (event === "finding") this.add(data as Finding);
        if (event === "done") ended = "Done";
        if (event === "failed") {
          const { sentence, mend } = data as { sentence: string; mend: string | null };
          ended = "The search has ended";
          this.say(sentence, mend ?? "");
        }
      }
    } catch (error) {
      this.spot("course").hidden = !(error instanceof DOMException);
      throw error instanceof Refused ? at_fields(error) : error;
    } finally {
      this.end(ended);
    }
  }

  private begin(): void {
    this.columns = [];
    this.found = 0;
    this.spot("headings").replaceChildren();
    this.spot("findings").replaceChildren();
    this.spot("found").hidden = true;
    this.spot("course").hidden = false;
    this.bar.removeAttribute("value");
    this.spot("progress").textContent = "Searching …";
  }

  private end(how: string): void {
    this.bar.max = 1;
    this.bar.value = 1;
    const count = this.found === 0 ? "nothing was found" : `${this.found} found`;
    this.spot("progress").textContent = `${how}: ${count}.`;
  }

  private get bar(): HTMLProgressElement {
    return this.querySelector("progress")!;
  }

  private show_course({ done, total, doing }: Course): void {
    if (total > 0) {
      this.bar.max = total;
      this.bar.value = done;
    } else {
      this.bar.removeAttribute("value");
    }
    this.spot("progress").textContent = `${total > 0 ? `${done} of ${total}: ` : ""}${doing}`;
  }

  private add(finding: Finding): void {
    if (this.columns.length === 0) this.head(Object.keys(finding.row));
    this.found += 1;
    const row = document.createElement("tr");
    const first = document.createElement("td");
    if (finding.link !== null || finding.device !== null) first.append(this.use(finding));
    row.append(first);
    for (const column of this.columns) {
      const cell = document.createElement("td");
      const value = finding.row[column];
      cell.textContent = value === null || value === undefined ? "" : String(value);
      cell.className = typeof value === "number" ? "number" : "break";
      row.append(cell);
    }
    this.spot("findings").append(row);
    this.spot("found").hidden = false;
    this.narrow();
  }

  private head(columns: string[]): void {
    this.columns = columns;
    const use = document.createElement("th");
    const unseen = document.createElement("span");
    unseen.className = "unseen";
    unseen.textContent = "Use";
    use.append(unseen);
    const titles = columns.map((column) => {
      const head = document.createElement("th");
      head.textContent = TITLES[column] ?? column.charAt(0).toUpperCase() + column.slice(1);
      return head;
    });
    for (const each of [use, ...titles]) each.scope = "col";
    this.spot("headings").replaceChildren(use, ...titles);
  }

  /** Columns in which nothing has anything yet are out of the way. */
  private narrow(): void {
    const rows = [this.spot("headings"), ...this.spot("findings").children];
    for (let at = 1; at <= this.columns.length; at += 1) {
      const empty = !rows.slice(1).some((row) => row.children[at]!.textContent !== "");
      for (const row of rows) row.children[at]!.toggleAttribute("hidden", empty);
    }
  }

  private use(finding: Finding): HTMLButtonElement {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Use this";
    const [column, value] = Object.entries(finding.row).find(([, each]) => each !== "") ?? ["", ""];
    button.setAttribute("aria-label", `Use this: ${column} ${String(value)}`);
    button.addEventListener("click", () => {
      const detail: Found = { link: finding.link, device: finding.device };
      document.dispatchEvent(new CustomEvent("tg:found", { detail }));
    });
    return button;
  }
}

/** Problems of options are said at the fields of this form. */
function at_fields({ problem }: Refused): Refused {
  const problems = problem.problems?.map((each) => (each.field ? { ...each, field: `search.${each.field}` } : each));
  return new Refused(problems === undefined ? problem : { ...problem, problems });
}

customElements.define("device-search", DeviceSearch);
