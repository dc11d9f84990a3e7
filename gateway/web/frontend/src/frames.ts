// Frames of a wire trace, as the control API describes them.

/** Some bytes of a frame and what they mean. Parts may lie within each other; those without bytes have length 0. */
export interface Part {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  readonly text: string;
}

export interface Frame {
  readonly number: number;
  readonly timestamp_ns: number;
  readonly direction: "sent" | "received";
  readonly device: string;
  readonly unit: string;
  readonly note: string;
  readonly size: number;
  readonly hex: string;
  readonly summary: string;
  readonly fault: boolean;
  readonly parts: readonly Part[];
}

export interface TraceStatus {
  readonly id: string;
  readonly device: string;
  readonly seconds: number;
  readonly left_s: number;
  readonly ended: string | null;
  readonly frames: number;
  readonly bytes: number;
  readonly dropped: number;
  readonly pcap: boolean;
}

/** `14:03:07.412`, as the clocks of this browser's place go. */
export function clock(frame: Frame): string {
  const moment = new Date(frame.timestamp_ns / 1e6);
  const two = (number: number): string => String(number).padStart(2, "0");
  const ms = String(moment.getMilliseconds()).padStart(3, "0");
  return `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}.${ms}`;
}

/** How many other parts each part lies within. */
export function depths(parts: readonly Part[]): number[] {
  return parts.map((part, at) => parts.filter((other, k) => k !== at && holds(other, part, k < at)).length);
}

function holds(outer: Part, inner: Part, before: boolean): boolean {
  if (inner.length === 0 || outer.length === 0) return false;
  const end = inner.offset + inner.length;
  if (inner.offset < outer.offset || end > outer.offset + outer.length) return false;
  return outer.length > inner.length || before;
}
