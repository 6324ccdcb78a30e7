/** Shortcuts: `/` writes a search, arrows go from picture to picture, Escape stops a search. */

import { element } from "./dom.js";
import { focusSentence } from "./form.js";
import { stop } from "./run.js";

const isTyping = (target) => target.matches?.("input, textarea, select, [contenteditable]");
const hasModifier = (event) => event.altKey || event.ctrlKey || event.metaKey;

/** The picture that an arrow leads to: along the order, or the nearest of the next row. */
function neighbour(key, card, all) {
  const index = all.indexOf(card);
  if (key === "ArrowLeft") return all[index - 1];
  if (key === "ArrowRight") return all[index + 1];
  const here = card.getBoundingClientRect();
  const isBeyond = key === "ArrowDown" ? (box) => box.top >= here.bottom : (box) => box.bottom <= here.top;
  const distance = (box) => 10 * Math.abs(box.top - here.top) + Math.abs(box.left - here.left);
  const boxes = all.map((other) => [other, other.getBoundingClientRect()]).filter(([, box]) => isBeyond(box));
  return boxes.sort(([, one], [, other]) => distance(one) - distance(other))[0]?.[0];
}

function followArrow(event) {
  const card = event.target.closest?.(".card");
  if (!card) return;
  const next = neighbour(event.key, card, [...element("cards").children]);
  if (!next) return;
  event.preventDefault();
  next.querySelector(".open").focus();
}

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (hasModifier(event) || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && stop()) return event.preventDefault();
    if (isTyping(event.target)) return;
    if (event.key === "/") {
      event.preventDefault();
      focusSentence();
    }
    if (event.key.startsWith("Arrow")) followArrow(event);
  });
}
