// Fields that only some choices of another field have a use for: <div data-when="link.transport" data-values="rtu ascii">.

/** Show those that the choices made have a use for. What is out of sight isn't given: it is disabled, not emptied. */
export function fit(root: HTMLElement): void {
  for (const place of root.querySelectorAll<HTMLElement>("[data-when]")) {
    const of = root.querySelector<HTMLInputElement>(`#${CSS.escape(place.dataset["when"]!)}`);
    const value = of?.value || of?.querySelector("option")?.textContent || "";
    place.hidden = !place.dataset["values"]!.split(" ").includes(value.trim());
    for (const field of place.querySelectorAll<HTMLInputElement>("input, select")) field.disabled = place.hidden;
  }
}
