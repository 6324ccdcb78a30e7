/** The collections of own pictures, as far as the server has told of them. */

import { askCollections, loadConfig } from "./api.js";

let known = [];

/** What is known of the collection of that name; undefined where there is none. */
export const collectionNamed = (name) => known.find((each) => each.name === name);
export const collectionNames = () => known.map(({ name }) => name);

/** Ask for them, where this server may have any, and return them: they grow while they are brought up to date. */
export async function loadCollections() {
  const { collections: mayBe } = await loadConfig();
  if (mayBe) known = await askCollections();
  return known;
}
