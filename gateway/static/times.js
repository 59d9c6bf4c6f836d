// Times on the reader's clock, where that differs: beside the start of an event, which is the venue's local time, and in
// place of any other time. Only the browser has the reader's zone: so pages are the same for readers in all zones.
(() => {
  "use strict";
  const words = JSON.parse(document.currentScript.dataset.words ?? "{}");
  const say = (text) => words[text] ?? text;
  const { lang } = document.documentElement;
  const shape = { weekday: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const date = new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const clocks = {};
  const clock = (zone) => (clocks[zone] ??= new Intl.DateTimeFormat(lang, { ...shape, timeZone: zone }));
  function isKnown(zone) {
    try {
      return Boolean(clock(zone));
    } catch {
      return false; // the browser is older than the zone
    }
  }
  const read = (zone, moment) => Object.fromEntries(clock(zone).formatToParts(moment).map(({ type, value }) => [type, value]));
  const midnight = (moment) => new Date(moment).setHours(0, 0, 0, 0);

  function own(moment, isNear) {
    const { hour, minute } = read(undefined, moment);
    const time = say("{time}").replace("{time}", `${hour}:${minute}`);
    const days = Math.round((midnight(moment) - midnight(Date.now())) / 86_400_000);
    const near = { "-1": say("yesterday {time}"), 0: say("today {time}"), 1: say("tomorrow {time}") }[days];
    if (isNear && near) return near.replace("{time}", time);
    return `${date.format(moment).replace(/^(\w+) /, "$1, ")}, ${time}`;
  }

  function beside(moment, zone) {
    const [there, here] = [read(zone, moment), read(undefined, moment)];
    if (there.day === here.day && there.hour === here.hour && there.minute === here.minute) return "";
    const weekday = there.day === here.day ? "" : `${here.weekday} `;
    const yours = say("{time} your time").replace("{time}", `${weekday}${here.hour}:${here.minute}`);
    return ` (${yours.replaceAll(" ", "\u00a0")})`;
  }

  function show() {
    for (const time of document.querySelectorAll("time:is([data-zone], [data-own])")) {
      const moment = Date.parse(time.dateTime);
      const { zone, own: form } = time.dataset;
      if (zone && isKnown(zone)) time.append(beside(moment, zone));
      else if (!zone) time.textContent = own(moment, form === "near");
      time.removeAttribute(zone ? "data-zone" : "data-own"); // each one once
    }
  }
  show();
  document.addEventListener("renewed", show); // a part of the page
})();
