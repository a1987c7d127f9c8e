import { Speaker } from './speaker';

export default function Page() {
  return <Speaker />;
}
