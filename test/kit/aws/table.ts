// The fleet's table as the Pulumi program makes it, in an emulator. Owns: its keys.
import { CreateTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'

export async function createTable(tables: DynamoDBClient, name: string): Promise<void> {
  await tables.send(
    new CreateTableCommand({
      TableName: name,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
      ],
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
    }),
  )
}
