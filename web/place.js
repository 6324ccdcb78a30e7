/** Where a person was on the page: pictures come after it has loaded, too late for the browser. */

import { shownHits } from "./cards.js";

const QUIET_MILLISECONDS = 250; // browsers refuse an address that changes with each pixel

let timer;

const remember = () => history.replaceState({ ...history.state, y: scrollY, count: shownHits().length }, "");

export function keepPlace() {
  history.scrollRestoration = "manual";
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = setTimeout(remember, QUIET_MILLISECONDS);
  }, { passive: true });
  addEventListener("pagehide", remember);
}

/** Write the place down now: it belongs to the address that is being left. */
export function leavePlace() {
  clearTimeout(timer);
  remember();
}
