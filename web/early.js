/**
 * What a shared link asks for, before the rest of the page has come: the answer, and its first pictures.
 *
 * A module that waits for few others. run.js asks the same, and api.js gives it this answer.
 */

import { askEarly, apiBase, loadConfig } from "./api.js";
import { EAGER, safeUrl } from "./dom.js";
import { addressSearch, atLeast, canBeAsked } from "./search.js";

const search = addressSearch();
if (canBeAsked(search) && !search.picture) {
  const asked = atLeast(history.state?.count ?? 0, search);
  if (asked !== search) letGoOfBegun();
  await loadConfig();
  const hits = await askEarly(asked);
  for (const { url } of hits.slice(0, EAGER)) new Image().src = safeUrl(url, apiBase()) ?? "";
}

/** Take the answer that the browser began with for the server, and nobody asks for: it would be given to a later search. */
function letGoOfBegun() {
  const begun = document.querySelector('link[as="fetch"][href^="search?"]');
  if (begun) fetch(begun.href).catch(() => {});
}
