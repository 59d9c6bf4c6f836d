// The countdown runs on the server's clock; screen readers announce two milestones, not every second.
const deadline = document.querySelector("[data-deadline]");
if (deadline) {
  const skew = Date.parse(deadline.dataset.now) - Date.now();
  const left = deadline.querySelector(".left");
  const spoken = deadline.querySelector("[aria-live]");
  const milestones = [[300, "Five minutes left to pay."], [60, "One minute left to pay."]];
  const secondsLeft = () => Math.ceil((Date.parse(deadline.dataset.deadline) - Date.now() - skew) / 1000);
  let before = secondsLeft();
  left.hidden = false;
  const show = () => {
    const seconds = secondsLeft();
    if (seconds <= 0) {
      left.textContent = "The time to pay is over.";
      // a payment in progress is not interrupted: it ends by itself, and the order's page shows how
      if (!document.querySelector("[data-under-way]")) {
        clearInterval(timer);
        setTimeout(() => location.reload(), 1500);
      }
      return;
    }
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    deadline.classList.toggle("soon", seconds <= 300);
    deadline.classList.toggle("now", seconds <= 60);
    // timers of a background page run seldom, so a milestone may be passed between two calls
    for (const [mark, words] of milestones) if (before > mark && seconds <= mark) spoken.textContent = words;
    before = seconds;
  };
  const timer = setInterval(show, 1000);
  show();
}

// Poll the order until its outcome is known; after ten seconds have it refreshed from Stripe too.
const follow = document.querySelector("[data-follow]");
if (follow) {
  const { asking, order, stage } = follow.dataset;
  const patience = follow.querySelector("[data-patience]");
  const began = Date.now();
  let pause = 1000;
  const poll = async () => {
    const late = Date.now() - began > 10_000;
    try {
      const ask = asking !== undefined || (late && stage === "confirming");
      const reply = await fetch(follow.dataset.follow + (ask ? "?ask" : ""), { headers: { Accept: "application/json" } });
      if (reply.redirected) return location.reload(); // signed out meanwhile
      if (reply.ok && (await reply.json()).stage !== stage) return location.replace(order);
    } catch { /* no network: poll again later */ }
    if (late && patience && !patience.textContent) patience.textContent = "This is taking longer than usual. We are still checking.";
    pause = late ? 8000 : Math.min(pause * 1.5, 3000);
    setTimeout(poll, pause);
  };
  setTimeout(poll, pause);
}

const print = document.querySelector("[data-print]");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
