"""``python -m image``"""
from pathlib import Path
from image.places import places
from image import build, rootfs
w=places(); at=build.shop(w,"rpi"); work=w.work/"rpi"; work.mkdir(exist_ok=True)
orig=rootfs.install
def inst(root,packages,box):
    rootfs.copy_tree(Path("image/appliance/files"), root.tree)
    rootfs.copy_tree(Path("/tmp/t/image-extra"), root.tree)
    sh=root.tree/"etc/shadow"; sh.write_text(sh.read_text().replace("root:*:","root::",1))
rootfs.install=inst
root=build.make_root(at,[],work)
print(build.make_disk(at,root,work,w.out))
