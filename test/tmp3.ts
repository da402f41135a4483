import { openDevice } from '../src/device/index.ts';
import { tensor } from '../src/tensor/tensor.ts';
import { readSafetensors } from '../src/data/files.ts';
import { toFloat32 } from '../src/data/safetensors.ts';
import { createModel } from '../src/nn/models/index.ts';
import { Random } from '../src/tensor/philox.ts';
import { writeState } from '../src/nn/state.ts';
import { pgd, inputGradient, crossEntropyLoss } from '../src/adv/pgd.ts';
const L=(n:string)=>new Map([...readSafetensors('../shared/reference/'+n+'.safetensors').tensors].map(([k,t])=>[k,{shape:t.shape,data:toFloat32(t)}]));
const d=await openDevice({adapter:'lavapipe'});
const init=L('init'), p=L('pgd');
const m=createModel('resnet18',{device:d,random:new Random(0)},{width:16,classes:10,mean:[0.4914, 0.4822, 0.4465],std:[0.247, 0.2435, 0.2616]});
writeState(m,init as any); m.eval();
const X=p.get('x')!, x=tensor(d,X.data,X.shape), y=tensor(d,p.get('y')!.data,[16],'i32');
for (const steps of [1,2,10]) {
const adv=await pgd(x=>m.forward(x),x,y,{norm:'linf',eps:8/255,stepSize:2/255,steps,randomInit:false},new Random(0)).floats();
const e=p.get('adv')!.data; const per=new Float64Array(16); let mx=0; const hist:Record<string,number>={};
for(let i=0;i<e.length;i++){const df=(adv[i]-e[i])*255; if(Math.abs(df)>.0255){per[i/3072|0]++; const k=df.toFixed(2); hist[k]=(hist[k]??0)+1;}}
console.log(steps,[...per].join(' '), Object.entries(hist).sort((a,b)=>b[1]-a[1]).slice(0,8).join(' | '));
}
const g=await inputGradient(x=>m.forward(x),x,y,crossEntropyLoss).floats();
console.log('zeros', g.filter(v=>v===0).length, g.slice(0,5), 'abs mean', g.reduce((a,b)=>a+Math.abs(b),0)/g.length);
d.close();
import { projectedStep } from '../src/adv/pgd.ts';
const d2=await openDevice({adapter:'lavapipe'});
const m2=createModel('resnet18',{device:d2,random:new Random(0)},{width:16,classes:10,mean:[0.4914, 0.4822, 0.4465],std:[0.247, 0.2435, 0.2616]});
writeState(m2,init as any); m2.eval();
const S=new Map([...readSafetensors('/tmp/steps.safetensors').tensors].map(([k,t])=>[k,toFloat32(t)]));
let adv=tensor(d2,X.data,X.shape); const x0=tensor(d2,X.data,X.shape), yy=tensor(d2,p.get('y')!.data,[16],'i32');
for(let i=0;i<10;i++){ const g=inputGradient(x=>m2.forward(x),adv,yy,crossEntropyLoss); const gd=await g.floats(); const ge=S.get('g'+i)!;
 const rel=[...Array(16)].map((_,n)=>{let a=0,b=0;for(let k=0;k<3072;k++){const e=ge[n*3072+k]*16; a+=(gd[n*3072+k]-e)**2;b+=e*e;} return Math.sqrt(a/b).toExponential(0)});
 adv=projectedStep(x0,adv,g,{norm:'linf',stepSize:2/255,eps:8/255}); const ad=await adv.floats(); const ae=S.get('a'+i)!;
 console.log(i,rel.join(' '),'diff px',ad.filter((v,k)=>Math.abs(v-ae[k])>1e-4).length);
 // reset to torch's
 adv=tensor(d2,ae,X.shape);
}
d2.close();
