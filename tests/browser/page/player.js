"use strict";
// A player as a web app would write it; `seen` is what the tests ask about.
const video = document.getElementById("video");
const seen = { errors: [], playlists: [], switches: [], frames: 0, framesWhileGrowing: 0, waits: 0, ended: 0, last: null };
let hls;

// The key is for playlists only: the URLs of segments are signed, and may be those of another store.
// `lowest` starts with the lowest rung and stays there until `currentLevel` is set.
function load(master, key, lowest) {
  hls = new Hls({
    startPosition: 0,
    xhrSetup: (request, url) => { if (url.startsWith(master)) request.setRequestHeader("X-API-Key", key); },
  });
  hls.on(Hls.Events.ERROR, (_, { type, details, fatal, reason, response }) =>
    seen.errors.push({ type, details, fatal, reason, status: response && response.code }));
  hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) =>
    seen.playlists.push({ live: details.live, type: details.type, fragments: details.fragments.length, seconds: details.totalduration }));
  hls.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => seen.switches.push(hls.levels[level].height));
  if (lowest) hls.autoLevelCapping = 0;
  hls.loadSource(master);
  hls.attachMedia(video);
}

function growing() {
  const playlist = seen.playlists.at(-1);
  return Boolean(playlist && playlist.live);
}

function shown(_, { mediaTime, width, height, presentedFrames }) {
  seen.last = { mediaTime, width, height };
  seen.frames = presentedFrames;
  if (growing() && !video.paused) seen.framesWhileGrowing += 1;
  video.requestVideoFrameCallback(shown);
}
video.requestVideoFrameCallback(shown);
video.addEventListener("ended", () => { seen.ended += 1; });
video.addEventListener("waiting", () => { seen.waits += 1; });

function state() {
  const quality = video.getVideoPlaybackQuality();
  return {
    time: video.currentTime, duration: video.duration, width: video.videoWidth, height: video.videoHeight,
    error: video.error && { code: video.error.code, message: video.error.message },
    decoded: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
    buffered: Array.from({ length: video.buffered.length }, (_, i) => [video.buffered.start(i), video.buffered.end(i)]),
  };
}

// Whether all of the video that is still to be shown has come in.
function everything() {
  const { buffered } = video;
  return buffered.length === 1 && buffered.start(0) <= video.currentTime && buffered.end(0) > video.duration - 0.1;
}

// The picture that is shown, as a PNG.
function picture() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}

// What is heard, as peaks by the second of the video: taken between the element and the speakers.
const peaks = {};
function listen() {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaElementSource(video).connect(analyser).connect(context.destination);
  const samples = new Float32Array(analyser.fftSize);
  video.addEventListener("timeupdate", () => {
    if (video.paused || video.seeking) return;
    analyser.getFloatTimeDomainData(samples);
    const second = Math.floor(video.currentTime);
    peaks[second] = Math.max(peaks[second] || 0, ...samples.map(Math.abs));
  });
  return context.resume();
}
