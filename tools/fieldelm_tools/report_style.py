"""Style sheet and script of the report. Colours are Okabe and Ito's, which people with any colour vision tell apart."""

STYLE = """
:root{--bg:#fff;--fg:#1a1c1e;--soft:#55595e;--grid:#e3e5e8;--card:#f5f6f8;--line:#0072b2;--limit:#1a1c1e;--alarm:#c24a00;
--warning:#8a5a00;--info:#00795a;--alarm-fill:#d55e00;--warning-fill:#e69f00;--info-fill:#009e73;--on:#fff;--on-warning:#000;
--quiet:transparent;--noisy:#0072b212;--damaged:#d55e0024;--s1:#cfe3f1;--s2:#d9efe7;--s3:#fbe7b5;--s4:#f6c9ad;--s5:#e6d3ea;--s6:#ddd}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#eceef0;--soft:#a9b0b7;--grid:#2c3237;--card:#1d2226;--line:#56b4e9;
--limit:#eceef0;--alarm:#ff9a5c;--warning:#f0b63f;--info:#3fd0a3;--alarm-fill:#d55e00;--warning-fill:#e69f00;--info-fill:#009e73;
--noisy:#56b4e914;--damaged:#d55e0038;--s1:#1f4560;--s2:#1d4a3c;--s3:#5c4710;--s4:#7a3206;--s5:#4d3455;--s6:#444}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 60px}h1{font-size:1.7rem;line-height:1.2;margin:.2em 0}
h2{font-size:1.25rem;margin:2.2em 0 .2em}h2 small{font-weight:400;color:var(--soft);font-size:.8rem;margin-left:.5em}
.lead{max-width:75ch}.verdict{padding:.6em 1em;border-left:5px solid;background:var(--card)}.verdict p{margin:0}
.good{border-color:var(--info-fill)}.bad{border-color:var(--alarm-fill)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(138px,1fr));gap:10px;margin:18px 0}
.facts div{background:var(--card);padding:10px 12px;border-radius:6px}dt{color:var(--soft);font-size:.8rem}
dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}.notes{max-width:80ch;color:var(--soft)}
figure{margin:8px 0}.chart{width:100%;height:auto;display:block;overflow:visible;touch-action:pan-y}
.chart text{font:11px system-ui,sans-serif;fill:var(--fg)}.chart text.soft{fill:var(--soft)}
.chart text.inlane{font-size:11px}
.chart text.label{font-weight:600}.chart text.n{font-weight:700;font-size:9px;fill:var(--on)}
.grid{stroke:var(--grid);fill:none}.border{stroke:var(--soft);stroke-dasharray:1 3;fill:none}
.p-quiet{fill:var(--quiet)}.p-noisy{fill:var(--noisy)}.p-damaged{fill:var(--damaged)}
path.score{stroke:var(--line);stroke-width:1.4;fill:none;stroke-linejoin:round}
path.threshold{stroke:var(--limit);stroke-width:1.6;stroke-dasharray:6 4;fill:none}
path.rms{stroke:var(--line);stroke-width:1.3;fill:none}path.learned{stroke:var(--info-fill);stroke-width:1}
.state{fill:var(--s6)}.s-watching{fill:var(--s2)}.s-commissioning{fill:var(--s1)}.s-relearning{fill:var(--s5)}
.s-suspect{fill:var(--s3)}.s-alarm{fill:var(--s4)}
.frame.f-up{fill:var(--line)}.frame.f-down{fill:var(--info-fill)}.frame.f-alert{fill:var(--alarm-fill)}
.m.alarm{fill:var(--alarm-fill)}.m.warning{fill:var(--warning-fill)}.m.info{fill:var(--info-fill)}
.stem{stroke-width:1;opacity:.75}.stem.alarm{stroke:var(--alarm-fill)}.stem.warning{stroke:var(--warning-fill)}
.stem.info{stroke:var(--info-fill)}.warning+text.n,.chart .m.warning~text.n{fill:var(--on-warning)}
.cursor{stroke:var(--soft);fill:none;visibility:hidden}
.reading{min-height:1.5em;color:var(--soft);font-size:.85rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:600}
th,td{padding:4px 10px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
code{font-size:.92em;overflow-wrap:anywhere}
.tag{font-weight:600;white-space:nowrap}.tag::before{margin-right:.35em}.tag.alarm{color:var(--alarm)}.tag.alarm::before{content:"\\25b2"}
.tag.warning{color:var(--warning)}.tag.warning::before{content:"\\25c6"}.tag.info{color:var(--info)}.tag.info::before{content:"\\25cf"}
.key{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center;color:var(--soft);font-size:.85rem}
.k{display:inline-block;width:26px;height:0;border-top:2px solid var(--line);margin-left:6px}
.k.threshold{border-top:2px dashed var(--limit)}.k.learned{border-top:5px dotted var(--info-fill)}
footer{margin-top:3em;color:var(--soft);font-size:.85rem}
@media print{.chart{break-inside:avoid}}
"""

SCRIPT = """
document.querySelectorAll('svg.chart').forEach(svg=>{
 const id=svg.dataset.node,end=+svg.dataset.end,cursor=svg.querySelector('.cursor');
 const rows=JSON.parse(document.querySelector('script[data-rows="'+id+'"]').textContent);
 const out=svg.parentNode.querySelector('.reading');
 const f=v=>v===null?'none':(+v).toPrecision(3);
 const clock=s=>Math.floor(s/60)+':'+String(Math.round(s%60)).padStart(2,'0');
 svg.addEventListener('pointermove',e=>{
  const box=svg.getBoundingClientRect(),x=(e.clientX-box.left)/box.width*960,t=(x-66)/(960-80)*end;
  if(t<0||t>end||!rows.length)return;
  let a=0,b=rows.length-1;while(a<b){const m=(a+b)>>1;if(rows[m][0]<t)a=m+1;else b=m}
  const r=rows[a],at=66+r[0]/end*880;
  cursor.style.visibility='visible';cursor.setAttribute('transform','translate('+at+' 0)');
  out.textContent=clock(r[0])+'  '+r[3]+(r[4]?', learned from':'')+'  score '+f(r[1])+'  threshold '+f(r[2])
   +(r[5]===null?'':'  RMS '+f(r[5])+' mm/s')+(r[6]===null?'':'  '+f(r[6])+' g');
 });
 svg.addEventListener('pointerleave',()=>{cursor.style.visibility='hidden'});
});
"""
