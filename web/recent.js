/** The last searches, kept in this browser alone. A browser may refuse to keep anything. */

import { build, element } from "./dom.js";
import { addressOf, nameOf, placeOf, searchOf } from "./search.js";

const SLOT = "imagesearch.recent";
const MOST = 6;

/** Addresses, newest first. */
function read() {
  try {
    const addresses = JSON.parse(localStorage.getItem(SLOT));
    return Array.isArray(addresses) ? addresses.filter((address) => typeof address === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

function write(addresses) {
  try {
    if (addresses.length) localStorage.setItem(SLOT, JSON.stringify(addresses));
    else localStorage.removeItem(SLOT);
  } catch {
    // Storage is full or forbidden: the page works without.
  }
}

/** Remember *search*, but for one by a picture, which would not be there another day. */
export function remember(search) {
  if (search.picture) return;
  const address = addressOf(search);
  write([address, ...read().filter((other) => other !== address)].slice(0, MOST));
}

export function showRecent() {
  const addresses = read();
  element("recent-list").replaceChildren(...addresses.map(linkTo));
  element("recent").hidden = !addresses.length;
}

function linkTo(address) {
  const search = searchOf(new URLSearchParams(address));
  const text = build("bdi", { textContent: nameOf(search) });
  const anchor = build("a", { href: addressOf(search), className: "inside" }, text, ` from ${placeOf(search)}`);
  return build("li", {}, anchor);
}

export function listenToRecent() {
  element("recent-clear").addEventListener("click", () => {
    write([]);
    showRecent();
    element("query").focus();
  });
}
