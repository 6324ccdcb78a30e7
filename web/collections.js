/** The collections of own pictures, as far as the server has told of them. */

import { askCollections, loadConfig } from "./api.js";

let known = [];
let asking = null; // a promise, while the server is asked

/** What is known of the collection of that name; undefined where there is none. */
export const collectionNamed = (name) => known.find((each) => each.name === name);
export const collectionNames = () => known.map(({ name }) => name);

/** Ask for them, where this server may have any, and return them: they grow while they are brought up to date. */
export const loadCollections = () => (asking ??= askAgain());

async function askAgain() {
  const { collections: mayBe } = await loadConfig();
  if (mayBe) known = (await askCollections()) ?? known;
  asking = null;
  return known;
}
