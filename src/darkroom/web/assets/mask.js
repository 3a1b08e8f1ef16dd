// A picture to paint on: what is painted is to be made anew. Emits the mask as a PNG, white where painted.
const LONGEST = 1024;
export default {
  props: { source: String, width: Number, height: Number, painting: Boolean, start: String, turn: Number },
  emits: ["mask"],
  template: `
    <div class="easel">
      <div class="well" :style="{aspectRatio: width / height, '--ratio': width / height}">
        <img :src="source" alt="The picture to edit" draggable="false" />
        <canvas v-show="painting" ref="sheet" :width="wide" :height="high" tabindex="0" role="application"
          aria-label="Paint what is to be made anew. Square brackets change the brush, E rubs out, Control Z takes back."
          @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up" @pointerleave="ring = null" @keydown="key"></canvas>
        <div v-if="painting && ring" class="ring" :style="{left: ring.x + 'px', top: ring.y + 'px', width: ring.size + 'px', height: ring.size + 'px'}"></div>
      </div>
      <div v-if="painting" class="tools row">
        <button type="button" class="press" :aria-pressed="String(!rubbing)" @click="rubbing = false">Brush</button>
        <button type="button" class="press" :aria-pressed="String(rubbing)" @click="rubbing = true">Erase</button>
        <label class="size"><span class="small soft">Size</span><span class="field"><input type="range" min="2" max="60" v-model.number="size" aria-label="Brush size" :style="{'--part': (size - 2) / 0.58 + '%'}" /></span></label>
        <button type="button" class="press" :disabled="!strokes.length" @click="undo">Undo</button>
        <button type="button" class="press bare" :disabled="!strokes.length && !base" @click="clear">Clear</button>
      </div>
    </div>`,
  data() { return { strokes: [], size: 16, rubbing: false, ring: null, base: null, current: null }; },
  computed: {
    scale() { return Math.min(1, LONGEST / Math.max(this.width, this.height)) * (Math.max(this.width, this.height) < 512 ? Math.ceil(512 / Math.max(this.width, this.height)) : 1); },
    wide() { return Math.round(this.width * this.scale); },
    high() { return Math.round(this.height * this.scale); },
  },
  watch: { source() { this.begin(); }, turn() { this.begin(); } }, // another picture, or the same one anew
  mounted() {
    if (!this.start) return;
    const image = new Image();
    image.onload = () => { this.base = image; this.draw(); };
    image.src = this.start;
  },
  methods: {
    begin() { this.strokes = []; this.base = null; this.$nextTick(this.draw); },
    at(event) {
      const box = this.$refs.sheet.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * this.wide, ((event.clientY - box.top) / box.height) * this.high];
    },
    thick() { return (this.size / 100) * Math.max(this.wide, this.high); },
    down(event) {
      if (event.button) return;
      this.$refs.sheet.setPointerCapture(event.pointerId);
      this.current = { rub: this.rubbing, thick: this.thick(), points: [this.at(event)] };
      this.strokes.push(this.current);
      this.draw();
    },
    move(event) {
      const box = this.$refs.sheet.getBoundingClientRect(), size = (this.thick() * box.width) / this.wide;
      this.ring = event.pointerType === "touch" ? null : { x: event.clientX - box.left - size / 2, y: event.clientY - box.top - size / 2, size };
      if (!this.current) return;
      this.current.points.push(this.at(event));
      this.draw();
    },
    up() { if (this.current) { this.current = null; this.tell(); } },
    key(event) {
      if (event.key === "[" || event.key === "]") this.size = Math.max(2, Math.min(60, this.size + (event.key === "]" ? 3 : -3)));
      else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) this.undo();
      else if (event.key.toLowerCase() === "e") this.rubbing = !this.rubbing;
      else return;
      event.preventDefault();
    },
    undo() { this.strokes.pop(); this.draw(); this.tell(); },
    clear() { this.strokes = []; this.base = null; this.draw(); this.tell(); },
    draw() { if (this.$refs.sheet) this.paint(this.$refs.sheet.getContext("2d")); },
    paint(pen) {
      pen.clearRect(0, 0, this.wide, this.high);
      if (this.base) this.lay(pen);
      pen.lineCap = pen.lineJoin = "round";
      for (const stroke of this.strokes) {
        pen.globalCompositeOperation = stroke.rub ? "destination-out" : "source-over";
        pen.strokeStyle = "#ff7d52"; pen.lineWidth = stroke.thick;
        pen.beginPath();
        stroke.points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
        if (stroke.points.length === 1) pen.lineTo(stroke.points[0][0] + 0.01, stroke.points[0][1]);
        pen.stroke();
      }
      pen.globalCompositeOperation = "source-over";
    },
    lay(pen) { // an earlier mask, white on black, as paint
      pen.drawImage(this.base, 0, 0, this.wide, this.high);
      const sheet = pen.getImageData(0, 0, this.wide, this.high);
      for (let i = 0; i < sheet.data.length; i += 4) {
        sheet.data[i + 3] = sheet.data[i] > 127 ? 255 : 0;
        sheet.data.set([255, 125, 82], i);
      }
      pen.putImageData(sheet, 0, 0);
    },
    tell() {
      const sheet = document.createElement("canvas");
      sheet.width = this.wide; sheet.height = this.high;
      const pen = sheet.getContext("2d");
      this.paint(pen);
      const data = pen.getImageData(0, 0, this.wide, this.high);
      let painted = false;
      for (let i = 0; i < data.data.length; i += 4) {
        const white = data.data[i + 3] > 127 ? 255 : 0;
        painted = painted || white > 0;
        data.data.set([white, white, white, 255], i);
      }
      pen.putImageData(data, 0, 0);
      this.$emit("mask", painted ? sheet.toDataURL("image/png") : "");
    },
  },
};
