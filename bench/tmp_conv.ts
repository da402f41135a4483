import { openDevice } from '../src/device/index.ts';
import * as C from '../src/kernels/conv.ts';
const d = await openDevice({adapter: process.argv[2] as any});
const shapes = [[64,32],[128,16],[256,8],[512,4]];
const N = Number(process.argv[3] ?? 8);
function rnd(n:number){const s=d.allocate(n*4);const a=new Float32Array(n);for(let i=0;i<n;i++)a[i]=Math.random()-.5;d.write(s,a);return s;}
async function time(f:()=>void){ f(); await d.sync(); let best=1e9; for(let r=0;r<3;r++){const t=performance.now(); f(); await d.sync(); best=Math.min(best,performance.now()-t);} return best;}
const tiles = JSON.parse(process.argv[4] ?? '[{}]');
const wtiles = JSON.parse(process.argv[5] ?? '[{}]');
for (const [c,hw] of shapes) {
  const s:C.ConvShape={n:N,ci:c,h:hw,w:hw,co:c,oh:hw,ow:hw,kh:3,kw:3,stride:1,padding:1,dilation:1,groups:1};
  const x=rnd(N*c*hw*hw), w=rnd(c*c*9), y=rnd(N*c*hw*hw), gw=rnd(c*c*9), gx=rnd(N*c*hw*hw);
  const fl=2*N*hw*hw*c*c*9/1e6;
  for (const t of tiles) { const tt={...C.defaultTapsTile(c,hw,hw),...t}; const t0=performance.now();
   const f=await time(()=>C.convForward(d,x,w,y,s,tt)); const el=performance.now()-t0;
   const b=await time(()=>C.convInputGrad(d,y,w,gx,s,tt));
   console.log(c,hw,JSON.stringify(tt),'fwd',(fl/f).toFixed(1),'dx',(fl/b).toFixed(1),'total s',(el/1000).toFixed(1)); }
  for (const t of wtiles) { const tt={...C.defaultWeightGradTile(s),...t};
   const f=await time(()=>C.convWeightGrad(d,x,y,gw,s,tt));
   console.log('   wgrad',JSON.stringify(tt),(fl/f).toFixed(1)); }
}
d.close();
