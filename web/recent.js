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

/** What an entry says. No two say the same: narrowed down, a search takes its own place. */
const textsOf = (search) => [nameOf(search), placeOf(search) && ` from ${placeOf(search)}`];
const entryOf = (address) => textsOf(searchOf(new URLSearchParams(address))).join("");

/** Remember *search*, but for one by a picture, which would not be there another day. */
export function remember(search) {
  if (search.picture) return;
  const address = addressOf(search);
  const others = read().filter((other) => entryOf(other) !== entryOf(address));
  write([address, ...others].slice(0, MOST));
}

export function showRecent() {
  const addresses = read();
  element("recent-list").replaceChildren(...addresses.map(linkTo));
  element("recent").hidden = !addresses.length;
}

function linkTo(address) {
  const search = searchOf(new URLSearchParams(address));
  const [name, place] = textsOf(search);
  const anchor = build("a", { href: addressOf(search), className: "inside" }, build("bdi", { textContent: name }), place);
  return build("li", {}, anchor);
}

export function listenToRecent() {
  element("recent-clear").addEventListener("click", () => {
    write([]);
    showRecent();
    element("query").focus();
  });
}
