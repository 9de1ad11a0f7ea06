// A fake of Pulumi's engine: the gRPC services that Pulumi's Node host calls, on 127.0.0.1, without a cloud.
// It records resources, outputs and log messages. Resources get fake ids; ../aws/fake-aws.ts answers look-ups.
// It compares, plans and stores nothing. A missing method answers UNIMPLEMENTED, which the host takes for an older
// engine.
import * as grpc from '@grpc/grpc-js'
import engineServices from '@pulumi/pulumi/proto/engine_grpc_pb.js'
import engineMessages from '@pulumi/pulumi/proto/engine_pb.js'
import resourceServices from '@pulumi/pulumi/proto/resource_grpc_pb.js'
import resourceMessages from '@pulumi/pulumi/proto/resource_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import struct from 'google-protobuf/google/protobuf/struct_pb.js'
import { answer, created, ProviderError, type Account } from '../aws/fake-aws.ts'

export type RegisteredResource = {
  urn: string
  type: string
  name: string
  custom: boolean
  parent: string
  protect: boolean
  dependencies: string[]
  ignoreChanges: string[]
  /** URN of the resource whose deletion deletes this one too; empty for none. */
  deletedWith: string
  /** The delete timeout, such as 20m; empty for the provider's default. */
  deleteTimeout: string
  inputs: Record<string, unknown>
}

export type FakeEngine = {
  address: string
  resources: RegisteredResource[]
  /** The stack's outputs. */
  outputs: Record<string, unknown>
  /** Errors that the program or its host logged. */
  errors: string[]
  warnings: string[]
  close: () => void
}

type Call<Request> = grpc.ServerUnaryCall<Request, unknown>
type Reply = grpc.sendUnaryData<unknown>

/**
 * Starts it on a free port.
 * @param preview resources have no ids and no outputs of a provider, so values computed from them are unknown
 */
export async function startFakeEngine(account: Account, preview: boolean): Promise<FakeEngine> {
  const engine: FakeEngine = {
    address: '',
    resources: [],
    outputs: {},
    errors: [],
    warnings: [],
    close: () => undefined,
  }
  const server = new grpc.Server()
  server.addService(resourceServices.ResourceMonitorService, monitor(account, engine, preview))
  server.addService(engineServices.EngineService, {
    log: ({ request }: Call<engineMessages.LogRequest>, reply: Reply) => {
      const severity = request.getSeverity()
      if (severity === engineMessages.LogSeverity.ERROR) engine.errors.push(request.getMessage())
      if (severity === engineMessages.LogSeverity.WARNING) engine.warnings.push(request.getMessage())
      reply(null, new empty.Empty())
    },
    getRootResource: (_: unknown, reply: Reply) => reply(null, new engineMessages.GetRootResourceResponse()),
    setRootResource: (_: unknown, reply: Reply) => reply(null, new engineMessages.SetRootResourceResponse()),
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    )
  })
  engine.address = `127.0.0.1:${port}`
  engine.close = () => server.forceShutdown()
  return engine
}

function monitor(account: Account, engine: FakeEngine, preview: boolean): grpc.UntypedServiceImplementation {
  return {
    supportsFeature: ({ request }: Call<resourceMessages.SupportsFeatureRequest>, reply: Reply) => {
      const response = new resourceMessages.SupportsFeatureResponse()
      // Without the feature outputValues, inputs arrive as plain values.
      response.setHassupport(request.getId() !== 'outputValues')
      reply(null, response)
    },
    invoke: ({ request }: Call<resourceMessages.ResourceInvokeRequest>, reply: Reply) => {
      const response = new resourceMessages.ResourceInvokeResponse()
      try {
        const result = answer(account, request.getTok(), plain(request.getArgs()))
        response.setReturn(struct.Struct.fromJavaScript(result as Record<string, struct.JavaScriptValue>))
        reply(null, response)
      } catch (error) {
        const details = error instanceof ProviderError ? error.details : String(error)
        reply({ code: grpc.status.UNKNOWN, details })
      }
    },
    registerResource: ({ request }: Call<resourceMessages.RegisterResourceRequest>, reply: Reply) => {
      const registered = readRequest(request)
      engine.resources.push(registered)
      const { type, name, inputs } = registered
      const { id, state } = preview ? { id: '', state: inputs } : created(type, name, inputs)
      const response = new resourceMessages.RegisterResourceResponse()
      response.setUrn(registered.urn)
      response.setId(registered.custom ? id : '')
      response.setObject(struct.Struct.fromJavaScript(state as Record<string, struct.JavaScriptValue>))
      reply(null, response)
    },
    registerResourceOutputs: (
      { request }: Call<resourceMessages.RegisterResourceOutputsRequest>,
      reply: Reply,
    ) => {
      if (request.getUrn().includes('pulumi:pulumi:Stack')) engine.outputs = plain(request.getOutputs())
      reply(null, new empty.Empty())
    },
    signalAndWaitForShutdown: (_: unknown, reply: Reply) => reply(null, new empty.Empty()),
  }
}

function readRequest(request: resourceMessages.RegisterResourceRequest): RegisteredResource {
  const [type, name] = [request.getType(), request.getName()]
  return {
    urn: urnOf(request.getParent(), type, name),
    type,
    name,
    custom: request.getCustom(),
    parent: request.getParent(),
    protect: request.getProtect() ?? false,
    dependencies: request.getDependenciesList(),
    ignoreChanges: request.getIgnorechangesList(),
    deletedWith: request.getDeletedwith(),
    deleteTimeout: request.getCustomtimeouts()?.getDelete() ?? '',
    inputs: plain(request.getObject()),
  }
}

const plain = (message: struct.Struct | undefined) =>
  (message?.toJavaScript() ?? {}) as Record<string, unknown>

/** A URN contains the types of all parent components, but not the stack's type. */
function urnOf(parent: string, type: string, name: string): string {
  const above = parent.split('::')[2] ?? ''
  const types = above === '' || above === 'pulumi:pulumi:Stack' ? type : `${above}$${type}`
  return `urn:pulumi:stack::mailfleet::${types}::${name}`
}
