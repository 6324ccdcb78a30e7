// What web/client.js does, run in Node by tests/unit/test_js_client.py; no test waits.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as module from "../../web/client.js";

const { Client, SearchFailed } = module;
const DOCUMENT = JSON.parse(readFileSync(new URL("../../web/openapi.json", import.meta.url)));
const exampleOf = (name) => DOCUMENT.components.responses[name].content["application/json"].example;
const FOUND = exampleOf("Found");
const SOON = { "Retry-After": "0" };
const RETRIES = JSON.parse(readFileSync(new URL("retries.json", import.meta.url)));
const SEARCH = { t: "horse", s_query: "a horse" };

/** A client whose fetch gives *answers*, one after the other, and what it was asked. */
function scripted(...answers) {
  const asked = [];
  const fetch = async (url, options) => {
    asked.push({ url, options });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    const [status, body, headers = {}] = answer;
    return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
  };
  return { asked, client: (options = {}) => new Client("https://pictures.example/api", { fetch, ...options }) };
}

const page = (...ids) => ({ ...FOUND, results: ids.map((image_id) => ({ ...FOUND.results[0], image_id })) });

async function hitsOf(hits) {
  const ids = [];
  for await (const { image_id } of hits) ids.push(image_id);
  return ids;
}

test("the hits of all pages come one after the other, and each once", async () => {
  const { asked, client } = scripted(
    [200, { ...page("a", "b"), next: "x1" }], [200, { ...page("a", "c"), next: "x2", restarted: true }], [200, page("b", "d")],
  );
  assert.deepEqual(await hitsOf(client().search({ ...SEARCH, k: 2 })), ["a", "b", "c", "d"]);
  assert.deepEqual(asked.map(({ url }) => url.searchParams.get("cursor")), [null, "x1", "x2"]);
  assert.equal(asked[0].url.pathname, "/api/search");
});

test("a pool is waited for, and each answer on the way is given", async (t) => {
  setClock(t, () => {});
  const { client } = scripted([202, exampleOf("Fetching"), SOON], [200, { ...FOUND, complete: false }, SOON], [200, FOUND]);
  const counts = [];
  for await (const answer of client().answers(SEARCH)) counts.push([answer.results.length, answer.complete]);
  assert.deepEqual(counts, [[0, false], [1, false], [1, true]]);
});

/** Have *wait* called with the seconds of each pause, which ends at once. */
function setClock(t, wait) {
  t.mock.method(globalThis, "setTimeout", (end, milliseconds) => {
    if (milliseconds === 100_000) return null; // the time limit of a question
    wait(milliseconds / 1000);
    queueMicrotask(end);
    return null;
  });
}

/** A client of a server of these *outcomes*, the last one for ever, on a clock that its pauses move. */
function retrying(outcomes) {
  let [seconds, count] = [0, 0];
  const fetch = async (_, options) => {
    if (options.mode) throw new TypeError("gone"); // what is asked when nobody answered, to tell why
    const outcome = [outcomes[Math.min(count++, outcomes.length - 1)]].flat();
    const [status, retryAfter] = outcome;
    if (status === "away") throw new TypeError("gone");
    const body = status === 200 ? FOUND : status === 202 ? exampleOf("Fetching") : {};
    return new Response(JSON.stringify(body), { status, headers: retryAfter ? { "Retry-After": retryAfter } : {} });
  };
  const pauses = [];
  const wait = (pause) => { pauses.push(pause); seconds += pause; };
  return { client: new Client("https://pictures.example", { fetch }), pauses, wait, now: () => seconds * 1000 };
}

for (const read of [(client) => client.pool("4b1c"), (client) => client.collections()]) {
  test(`what is asked besides is asked again as a search is: ${read}`, async (t) => {
    const busy = [503, exampleOf("Unavailable"), { "Retry-After": "7" }];
    const answer = { pool_id: "4b1c", collections: [] };
    const { client } = scripted(busy, new TypeError("gone"), new TypeError("gone"), [200, answer]);
    const waited = [];
    setClock(t, (seconds) => waited.push(seconds));
    assert.ok(await read(client()));
    assert.deepEqual(waited, [7, 2]);
    const down = scripted(busy).client();
    await assert.rejects(down.pool("4b1c", { retries: 0 }), { status: 503 });
  });
}

for (const { what, outcomes, pauses: expected, ends } of RETRIES) {
  test(`as in Python: ${what}`, async (t) => {
    const { client, pauses, wait, now } = retrying(outcomes);
    t.mock.method(performance, "now", now);
    setClock(t, wait);
    const end = await client.page(SEARCH).then(() => "answered", (failure) => failure.kind);
    assert.deepEqual([pauses, end], [expected, ends]);
  });
}

test("what failed says how often it was asked, and the person may wait otherwise", async () => {
  const busy = [503, exampleOf("Unavailable"), { "Retry-After": "7" }];
  const waited = [];
  const pause = async (failure) => waited.push([failure.kind, failure.retrySeconds, failure.tries]);
  const down = scripted(busy, busy, busy, busy);
  const failure = await down.client().page(SEARCH, { pause }).catch((error) => error);
  assert.deepEqual([failure.message, failure.tries], ["the catalog does not answer (HTTP 503)", 4]);
  assert.deepEqual(waited, [["refused", 7, 1], ["refused", 7, 2], ["refused", 7, 3]]);
});

test("a search may begin where another one ended", async () => {
  const { asked, client } = scripted([200, page("a")]);
  await hitsOf(client().search({ ...SEARCH, cursor: "x1" }));
  assert.equal(asked[0].url.searchParams.get("cursor"), "x1");
});

test("a server that answers, but not to this page, is told from one that is away", async () => {
  const asked = [];
  const fetch = async (url, options) => {
    asked.push([url.pathname, options.mode ?? options.redirect]);
    if (!options.mode) throw new TypeError("blocked"); // a redirect to a sign-in, or no allowed origin
    return { type: "opaque" };
  };
  const client = new Client("https://pictures.example/api", { fetch });
  await assert.rejects(client.page(SEARCH, { retries: 0 }), { kind: "login", message: /answers, but not to this page: a login stands before it/ });
  assert.deepEqual(asked, [["/api/search", undefined], ["/api/collections", "no-cors"]]);
});

test("a connection that broke once is no login, though it looks like one from elsewhere", async () => {
  const outcomes = [new TypeError("reset"), Response.json(FOUND)];
  const fetch = async (_, { mode }) => {
    if (mode) return { type: "opaque" };
    const outcome = outcomes.shift();
    if (outcome instanceof Error) throw outcome;
    return outcome;
  };
  const client = new Client("https://pictures.example", { fetch });
  assert.deepEqual((await client.page(SEARCH, { pause: () => {} })).results, FOUND.results);
});

test("on its own origin a redirect to a sign-in is seen", async (t) => {
  t.after(() => delete globalThis.location);
  globalThis.location = { origin: "https://pictures.example" };
  const fetch = async (_, { redirect }) => {
    if (!redirect) throw new TypeError("blocked");
    return { type: "opaqueredirect" };
  };
  await assert.rejects(new Client("https://pictures.example", { fetch }).page(SEARCH, { retries: 0 }), { kind: "login" });
});

test("what is asked to wait long, or can never succeed, is told at once", async () => {
  for (const [status, name, headers, isForEver] of [[429, "Overloaded", { "Retry-After": "3600" }, false], [400, "InvalidRequest", {}, true]]) {
    const { client } = scripted([status, exampleOf(name), headers]);
    const failure = await client().page(SEARCH).catch((error) => error);
    assert.ok(failure instanceof SearchFailed);
    assert.deepEqual([failure.status, failure.isForEver, failure.tries], [status, isForEver, 1]);
    assert.match(failure.message, new RegExp(exampleOf(name).error.message.slice(0, 20)));
  }
});

test("a key that lacks is asked for once, and sent from then on, to what is asked besides, too", async () => {
  const { asked, client } = scripted([401, exampleOf("Unauthorized")], [200, FOUND], [200, { collections: [] }]);
  const guarded = client({ apiKey: "old", askForKey: async () => "new" });
  await guarded.page(SEARCH);
  await guarded.collections();
  assert.deepEqual(asked.map(({ options }) => options.headers["X-API-Key"]), ["old", "new", "new"]);
});

test("of a login that stands before the server no key is asked, and it is said", async () => {
  for (const status of [401, 403]) {
    const { client } = scripted([status, "<h1>Log in</h1>"]);
    const askForKey = () => assert.fail("no key helps");
    await assert.rejects(client({ askForKey }).page(SEARCH), { kind: "login", message: `a login is asked for, which is not here (HTTP ${status})` });
  }
});

test("an answer that is none of this API, or of another version, says so", async () => {
  const odd = /does not answer as an imagesearch does \(HTTP 200\)/;
  for (const body of ["<h1>Log in</h1>", {}, null, [], { results: 3 }]) {
    await assert.rejects(scripted([200, body]).client().page(SEARCH), { kind: "odd", message: odd });
  }
  const older = { ...FOUND, minus: undefined };
  await assert.rejects(scripted([200, older]).client().page({ ...SEARCH, minus: ["night"] }), /of another version/);
  await assert.rejects(scripted([200, FOUND]).client().page({ ...SEARCH, year: 2019 }), /nothing of year: it is of another version/);
});

test("a search that is given up ends at once with an AbortError", async () => {
  const controller = new AbortController();
  const silent = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  const asking = new Client("https://pictures.example", { fetch: silent }).page(SEARCH, { signal: controller.signal });
  controller.abort();
  await assert.rejects(asking, { name: "AbortError" });
});

test("lists are repeated, what is empty is left out, and a picture takes a form", async () => {
  const { asked, client } = scripted([200, FOUND], [200, FOUND]);
  await client().ask({ ...SEARCH, like: ["a", "b"], like_weight: [1, 2], tag: "", user: undefined });
  assert.equal(asked[0].url.search, "?t=horse&s_query=a+horse&like=a&like=b&like_weight=1&like_weight=2&wait=0.5");
  await client().ask({ s_query: "x", picture: new Blob(["jpeg"]) });
  const { method, body } = asked[1].options;
  assert.deepEqual([method, asked[1].url.search, [...body.keys()]], ["POST", "", ["s_query", "wait", "picture"]]);
});

const READS = {
  "/search": [(client) => client.ask(SEARCH, { retries: 0 }), (body) => ({ results: [], complete: false, ...body })],
  "/collections": [(client) => client.collections({ retries: 0 }), (body) => body.collections],
  "/pools/{pool_id}": [(client) => client.pool("4b1c", { retries: 0 }), (body) => body],
};

for (const [path, [ask, read]] of Object.entries(READS)) {
  test(`every answer that the document shows of ${path} is read or told`, async () => {
    for (const [code, response] of Object.entries(DOCUMENT.paths[path].get.responses)) {
      const status = code === "default" ? 405 : Number(code);
      const { content } = response.$ref ? DOCUMENT.components.responses[response.$ref.split("/").at(-1)] : response;
      const { example } = content["application/json"];
      const outcome = await ask(scripted([status, example]).client()).catch((error) => error);
      if (status < 300) assert.deepEqual(outcome, read(example));
      else assert.equal(outcome.message, `${example.error.message} (HTTP ${status})`);
    }
  });
}

test("client.d.ts declares what the module has", () => {
  const declared = readFileSync(new URL("../../web/client.d.ts", import.meta.url), "utf8");
  const names = [...declared.matchAll(/^export (?:const|class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(names.sort(), Object.keys(module).sort());
  const methods = declared.split("export class Client")[1].split("\n}")[0].matchAll(/^  (\w+)\(/gm);
  assert.deepEqual([...methods].map(([, name]) => name).sort(), Object.getOwnPropertyNames(Client.prototype).sort());
  const fields = declared.split("export class SearchFailed")[1].split("}")[0].matchAll(/^  (\w+):/gm);
  const own = Object.keys(new SearchFailed("odd", "")).filter((name) => name !== "name");
  assert.deepEqual([...fields].map(([, name]) => name).sort(), own.sort());
});
