const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
const say = (text) => words[text] ?? text;

const order = document.querySelector("[data-follow]");
const isPaying = () => Boolean(document.querySelector("[data-under-way]"));
const now = async (query = "") => fetchInTime(order.dataset.follow + query, { headers: { Accept: "application/json" } });

// The countdown runs on the server's clock; screen readers announce milestones, not every second.
const MILESTONES = [[300, say("Five minutes left to pay.")], [120, say("Two minutes left to pay.")], [60, say("One minute left to pay.")]];
const OFFERED_WITHIN = 120;
let stopCountdown = () => {};

function countDown() {
  stopCountdown();
  const deadline = document.querySelector("[data-deadline]");
  if (!deadline) return;
  const skew = Date.parse(deadline.dataset.now) - Date.now();
  const left = deadline.querySelector(".left");
  const spoken = deadline.querySelector("[aria-live]");
  const extend = document.querySelector("[data-extend]");
  const secondsLeft = () => Math.ceil((Date.parse(deadline.dataset.deadline) - Date.now() - skew) / 1000);
  let before = secondsLeft();
  left.hidden = false;
  const show = () => {
    const seconds = secondsLeft();
    if (extend) extend.hidden = seconds > OFFERED_WITHIN || seconds <= 0;
    if (seconds <= 0) {
      left.textContent = say("The time to pay is over.");
      // a payment in progress is not interrupted: it ends by itself, and the order's page shows how
      if (!isPaying()) {
        stopCountdown();
        setTimeout(() => location.reload(), 1500);
      }
      return;
    }
    left.textContent = say("{time} left").replace("{time}", `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`);
    deadline.classList.toggle("soon", seconds <= 300);
    deadline.classList.toggle("now", seconds <= 60);
    // timers of a background page run seldom, so a milestone may be passed between two calls
    for (const [mark, message] of MILESTONES) {
      if (before > mark && seconds <= mark) spoken.textContent = extend && mark === OFFERED_WITHIN ? `${message} ${say("You can add five more.")}` : message;
    }
    before = seconds;
  };
  const timer = setInterval(show, 1000);
  stopCountdown = () => clearInterval(timer);
  show();
}
countDown();

// An extended time is put into the page as it is: typed card details stay.
async function renew(reply) {
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (page.querySelector("[data-follow]")?.dataset.stage !== order.dataset.stage) return location.reload();
  const bar = document.querySelector(".paybar");
  const isFocused = bar.contains(document.activeElement);
  for (const part of [".paybar", ".notices"]) document.querySelector(part).replaceChildren(...page.querySelector(part).childNodes);
  if (isFocused) bar.focus({ preventScroll: true }); // the pressed button is gone
  countDown();
  document.dispatchEvent(new Event("renewed"));
}

document.querySelector(".paybar")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  if (button.hasAttribute("aria-disabled")) return;
  button.setAttribute("aria-disabled", "true");
  try {
    await renew(await fetchInTime(form.action, { method: "POST", body: new FormData(form) }));
  } catch {
    form.submit(); // the browser shows the network's error
  }
});

// Follow changes made elsewhere, while the page is visible. Before anything is paid, polling the ticket, which is answered
// from memory, shows whether the order has changed. Afterwards the order is polled until its outcome is known.
if (order) {
  const { asking, stage, ticket } = order.dataset;
  const patience = order.querySelector("[data-patience]");
  const began = Date.now();
  let [pause, timer, seen] = [ticket ? 5000 : 1000, 0, null];

  async function hasNews() {
    const reply = await fetchInTime(ticket, { cache: "no-store", headers: seen ? { "If-None-Match": seen } : {} });
    const isNews = reply.status !== 304;
    if (reply.ok) seen = reply.headers.get("ETag");
    return isNews;
  }

  async function look() {
    if (ticket && (isPaying() || !(await hasNews()))) return;
    const late = Date.now() - began > 10_000;
    const isAsked = asking !== undefined || (late && stage === "confirming");
    const reply = await now(isAsked ? "?ask" : "");
    if (reply.redirected) return location.reload(); // signed out meanwhile
    if (!reply.ok) return;
    const found = await reply.json();
    if (isPaying()) return;
    if (found.stage !== stage) return location.replace(order.dataset.order);
    const deadline = document.querySelector("[data-deadline]");
    if (deadline && found.expiresAt !== deadline.dataset.deadline) await renew(await fetchInTime(order.dataset.order));
  }

  async function poll() {
    await look().catch(() => {}); // no network: again later
    const late = Date.now() - began > 10_000;
    if (late && patience && !patience.textContent) patience.textContent = say("This is taking longer than usual. We are still checking.");
    if (!ticket) pause = late ? 8000 : Math.min(pause * 1.5, 3000);
    wait(pause);
  }

  function wait(milliseconds) {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(poll, milliseconds);
  }

  document.addEventListener("visibilitychange", () => wait(0));
  wait(pause);
}

const print = document.querySelector("[data-print]");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
