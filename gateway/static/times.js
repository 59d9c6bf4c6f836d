// Beside each time the one on the reader's clock, where that differs. The browser alone knows the reader's zone: so pages
// are the same for readers in all zones.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
  const say = (text) => words[text] ?? text;
  const shape = { weekday: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const clocks = {};
  const clock = (zone) => (clocks[zone] ??= new Intl.DateTimeFormat(document.documentElement.lang, { ...shape, timeZone: zone }));
  const read = (zone, moment) => Object.fromEntries(clock(zone).formatToParts(moment).map(({ type, value }) => [type, value]));

  function show() {
    for (const time of document.querySelectorAll("time[data-zone]")) {
      const moment = Date.parse(time.dateTime);
      const [there, here] = [read(time.dataset.zone, moment), read(undefined, moment)];
      time.removeAttribute("data-zone"); // each one once
      if (there.day === here.day && there.hour === here.hour && there.minute === here.minute) continue;
      const weekday = there.day === here.day ? "" : `${here.weekday} `;
      const yours = say("{time} your time").replace("{time}", `${weekday}${here.hour}:${here.minute}`);
      time.append(` (${yours})`);
    }
  }
  show();
  document.addEventListener("renewed", show); // a part of the page
})();
