/** Where a person was on the page: pictures come after it has loaded, too late for the browser. */

import { shownHits } from "./cards.js";

const QUIET_MILLISECONDS = 250; // browsers refuse an address that changes with each pixel

let timer;

export function keepPlace() {
  history.scrollRestoration = "manual";
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = setTimeout(notePlace, QUIET_MILLISECONDS);
  }, { passive: true });
  addEventListener("pagehide", notePlace); // which comes too late for a reload
}

/** Write the place down, unless the pictures that were there are still to come: a browser scrolls by itself meanwhile. */
export function notePlace() {
  clearTimeout(timer);
  const count = shownHits().length;
  if (count || !history.state?.count) history.replaceState({ ...history.state, y: scrollY, count }, "");
}
