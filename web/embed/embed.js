/** The demo of `<image-search>`: the whole address of its script, and what its events tell. */

const tag = document.getElementById("tag");
tag.textContent = tag.textContent.replace("image-search.js", new URL("../image-search.js", location.href).href);

const tell = (text) => { document.getElementById("told").textContent = text; };
addEventListener("image-search-answer", ({ detail }) => tell(`image-search-answer: ${detail.results.length} pictures, of the keyword “${detail.keyword ?? ""}”.`));
addEventListener("image-search-failure", ({ detail }) => tell(`image-search-failure: ${detail.message}.`));
addEventListener("image-search-choose", ({ detail }) => tell(`image-search-choose: ${detail.image_id}.`));
