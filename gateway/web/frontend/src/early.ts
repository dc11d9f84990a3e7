// Buttons that only a script answers, marked data-early. The server gives them disabled: pressed before the script is
// there they would do nothing, or the wrong thing.

export function answered(host: HTMLElement): void {
  for (const button of host.querySelectorAll<HTMLButtonElement>("button[data-early]")) button.disabled = false;
}
