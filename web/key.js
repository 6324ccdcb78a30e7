/** Asks the person for the key of a server that wants one. */

import { element } from "./dom.js";

const HINT = "Whoever runs it can give you one. It is kept until this window is closed, and nowhere else.";
const REFUSED = "It did not take the key that you gave.";

let asking = null; // searches that are refused at once ask once

/** A promise of the key that is given, "" for none; *isAgain*: the one before was refused. */
export const askForKey = (isAgain) => (asking ??= given(isAgain).finally(() => { asking = null; }));

function given(isAgain) {
  const [dialog, input] = ["key-dialog", "key"].map(element);
  element("key-text").textContent = isAgain ? `${REFUSED} ${HINT}` : HINT;
  input.value = "";
  dialog.returnValue = ""; // Escape leaves it
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue ? input.value.trim() : ""), { once: true });
  });
}
