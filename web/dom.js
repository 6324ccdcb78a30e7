/** The document, in few words. Every text enters it as text, never as markup. */

/** Pictures that are about on the screen at once: the others come after these, and when they are near. */
export const EAGER = matchMedia("(max-width: 46rem)").matches ? 6 : 12;

export const element = (id) => document.getElementById(id);

export function build(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** A text for those who hear the page. */
export const unseen = (text) => build("span", { className: "visually-hidden", textContent: text });

/** An icon of index.html. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Put *text* into the element of that id, which is hidden while there is none. */
export function setText(id, text) {
  element(id).textContent = text;
  element(id).hidden = !text;
}

/** Have a screen reader say *text* when it has finished what it says now. */
export const announce = (text) => { element("status").textContent = text; };

/** The URL as text when it is http(s), else null: a javascript: link must never be made. */
export function safeUrl(value, base) {
  if (typeof value !== "string" || !value) return null;
  try {
    const url = new URL(value, base);
    return /^https?:$/.test(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link to another site, or its words alone where the URL is none to follow. */
export function outside(url, properties, ...children) {
  return url ? build("a", { href: url, target: "_blank", rel: "noopener", ...properties }, ...children) : build("span", {}, ...children);
}
