import { openDevice } from '../src/device/index.ts';
import { tensor } from '../src/tensor/tensor.ts';
import * as C from '../src/tensor/conv.ts';
import * as N from '../src/tensor/norm.ts';
import { conv2d } from './reference/conv.ts';
import { ref } from './reference/array.ts';
import { relativeError } from './reference/finite.ts';
const d = await openDevice({adapter:'lavapipe'});
const rnd=(n:number)=>Float32Array.from({length:n},()=>Math.random()-.5);
for (const [ci,co,h,k,s,p] of [[3,16,32,3,1,1],[16,16,32,3,1,1],[16,32,32,3,2,1],[16,32,32,1,2,0],[32,32,16,3,1,1],[64,64,8,3,1,1],[128,128,4,3,1,1]]) {
  const x=rnd(2*ci*h*h), w=rnd(co*ci*k*k); const tx=tensor(d,x,[2,ci,h,h]), tw=tensor(d,w,[co,ci,k,k]);
  const t0=performance.now();
  const y=C.conv2d(tx,tw,{stride:s,padding:p});
  const o={stride:[s,s] as any,padding:[p,p] as any,dilation:[1,1] as any,groups:1};
  const X=ref([2,ci,h,h],[...x]), W=ref([co,ci,k,k],[...w]);
  const Y=conv2d.forward(X,W,o);
  const g=rnd(y.size); const tg=tensor(d,g,y.shape);
  const gx=C.conv2dInputGrad(tg,tw,tx.shape,{stride:s,padding:p}), gw=C.conv2dWeightGrad(tx,tg,tw.shape,{stride:s,padding:p});
  const [GX,GW]=conv2d.backward(X,W,o,ref([...y.shape],[...g]));
  console.log(ci,co,h,k,s, relativeError(await y.floats() as any,Y.data as any).toExponential(1), relativeError(await gx.floats() as any,GX.data as any).toExponential(1),relativeError(await gw.floats() as any,GW.data as any).toExponential(1), (performance.now()-t0|0)+'ms');
}
d.close();
