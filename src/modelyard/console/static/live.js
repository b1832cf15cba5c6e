// Says whether the page still follows the server, and keeps the reader's keys: `/` goes to the search.
const mark = () => document.getElementById("live");

function follows(yes) {
  const shown = mark();
  if (!shown || shown.classList.contains("away") === !yes) return;
  shown.classList.toggle("away", !yes);
  shown.textContent = yes ? "live" : "away";
}

document.addEventListener("htmx:after:request", (event) => follows(event.detail.ctx.response.status < 500));
document.addEventListener("htmx:error", () => follows(false));

// A session that has ended sends to the sign-in page: go there as a whole.
document.addEventListener("htmx:after:request", (event) => {
  const answer = event.detail.ctx.response?.raw;
  if (answer?.redirected && new URL(answer.url).pathname === "/sign-in") location.reload();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.getElementById("search");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

// A table that is wider than its place can be scrolled by keyboard too, where nothing in it takes the focus.
function reachable() {
  for (const place of document.querySelectorAll(".scroll:not([role])")) {
    const needed = place.scrollWidth > place.clientWidth && !place.querySelector("a, button, input");
    if (needed) place.tabIndex = 0;
    else place.removeAttribute("tabindex");
  }
}

reachable();
addEventListener("resize", reachable);
document.addEventListener("htmx:after:swap", reachable);
