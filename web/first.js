/* Runs before the first paint, so that who comes by a shared link never sees the landing page. */
{
  const given = new URLSearchParams(location.search);
  const isSearch = ["s_query", "like", "picture"].some((name) => given.get(name)?.trim());
  if (isSearch) document.documentElement.dataset.view = "search";
}
