// Icons out of the one sprite, for elements that make their own content.

const NS = "http://www.w3.org/2000/svg";

let sprite: string | undefined;

export function icon(name: string): SVGSVGElement {
  sprite ??= document.querySelector<HTMLMetaElement>('meta[name="icons"]')!.content;
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(NS, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}
