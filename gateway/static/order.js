// The countdown runs on the server's clock; milestones are said to screen readers, not every second.
const deadline = document.querySelector("[data-deadline]");
if (deadline) {
  const ahead = Date.parse(deadline.dataset.now) - Date.now();
  const left = deadline.querySelector(".left");
  const spoken = deadline.querySelector("[aria-live]");
  const milestones = new Map([[300, "Five minutes left to pay."], [60, "One minute left to pay."]]);
  left.hidden = false;
  const show = () => {
    const seconds = Math.ceil((Date.parse(deadline.dataset.deadline) - Date.now() - ahead) / 1000);
    if (seconds <= 0) {
      clearInterval(timer);
      spoken.textContent = left.textContent = "The time to pay is over.";
      setTimeout(() => location.reload(), 1500);
      return;
    }
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    deadline.classList.toggle("soon", seconds <= 300);
    deadline.classList.toggle("now", seconds <= 60);
    if (milestones.has(seconds)) spoken.textContent = milestones.get(seconds);
  };
  const timer = setInterval(show, 1000);
  show();
}

// While the outcome is open, ask for the order and show the page anew once it has changed.
const follow = document.querySelector("[data-follow]");
if (follow) {
  let pause = 1000;
  const ask = async () => {
    try {
      const response = await fetch(follow.dataset.follow, { headers: { Accept: "application/json" } });
      if (response.status === 401) return location.reload();
      if (response.ok && (await response.json()).status !== follow.dataset.status) return location.reload();
    } catch { /* the network is away: ask again later */ }
    pause = Math.min(pause * 1.5, 10000);
    setTimeout(ask, pause);
  };
  setTimeout(ask, pause);
}
